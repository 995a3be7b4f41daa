"""What a call reports and refuses before the first job; the quick profile; the status script."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from checkout import NUM_RUNS, ROOT, TINY, copy_sources

from hw2core.config.reading import read_configs
from hw2core.config.study import load_study
from hw2core.runs.environment import OVERRIDES

pytestmark = pytest.mark.workflow

QUICK = [ROOT / "config.yaml", ROOT / "quick/study.yaml"]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    checkout = copy_sources(tmp_path_factory.mktemp("untrained") / "clone")
    checkout.configure(TINY)
    return checkout


def ask_status(checkout, *arguments, script="status.py"):
    command = [sys.executable, f"workflow_scripts/{script}", *arguments]
    return subprocess.run(command, cwd=checkout.folder, capture_output=True, text=True)


def test_only_current_results_of_the_study_are_ranked(clone):
    def rank(*names: str) -> tuple[list[str], str]:
        process = clone.execute("search/rank.py", *names, environment={})
        output, _ = process.communicate(timeout=120)
        return re.findall(r"^ *(exp\S+) +1 ", output, flags=re.MULTILINE), output

    ranked, output = rank("exp1_1", "exp2")
    assert sorted(ranked) == ["exp1_1_L2_K4", "exp1_1_L4_K4", "exp2_L4_K4"]
    assert "stale" not in output
    clone.overlay("exp1_1", grid={"filters_per_layer": [[4]], "layers_per_block": [4, 6]})
    ranked, output = rank("exp1_1")
    assert ranked == ["exp1_1_L4_K4"]
    assert output.splitlines()[-1] == "1 of 2 results are missing or stale"


def test_mistyped_targets_are_answered_with_similar_ones(untrained):
    (untrained / "results/exp1_4_L4_K8").mkdir(parents=True)  # of an older configuration
    similar = {
        "exp1_1": "results/exp1_1?",
        "results/exp1_1_L3_K4": "results/exp1_1_L4_K4 or results/exp1_1_L2_K4",
        "results/exp1_4_L4_K8": "results/exp1_4_L4_K4",
        "figurs": "figures",
    }
    output = untrained.snakemake(*(f"{target}/" for target in similar), "all", succeeds=False)
    for target, expected in similar.items():
        assert f"{target}: no target of this name; did you mean {expected}" in output
    assert "Traceback" not in output
    assert "Building DAG" not in output
    # A seed has one way to be written.
    seeds = [f"results/exp2_L4_K4/seed{seed}.json" for seed in ("00", "\u0663", "9" * 30)]
    output = untrained.snakemake("-n", *seeds, succeeds=False)
    assert output.count("no target of this name") == 3


def test_a_call_without_hooks_is_refused(untrained):
    output = untrained.snakemake("--no-hooks", "results/exp1_1", succeeds=False)
    assert "--no-hooks: not supported; jobs need what onstart prepares" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("path", ["engine/trainer.py", "analysis/report.py"])
def test_half_typed_code_is_one_line_where_it_is_used(untrained, path):
    module = untrained / "hw2core" / path
    code = module.read_text()
    module.write_text(f"{code}def half(:\n")
    try:
        output = untrained.snakemake("-n", "report", succeeds=False)
        trains = untrained.snakemake("-n", "results/exp1_1", succeeds="analysis" in path)
    finally:
        module.write_text(code)
    assert f"{module.name}: not valid Python (invalid syntax ({module.name}, line " in output
    assert "Traceback" not in output
    assert ("not valid Python" in trains) == ("trainer" in path)


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("report/questions.csv", "part3_q7,Mine,Which one, and why?\n", "4 values: must be 3 ("),
        ("report/changes.csv", "Mine,Why,,,training.mine\n", "must be training.average, "),
        ("report/baselines.csv", "mine,1,0.5,64,65,66\n", "lowest <= median <= highest"),
        ("report/report.md.j2", "\n![Mine](explore.png)\n", "only figures of the study"),
    ],
)
def test_a_wrong_table_or_template_of_the_report_is_one_line(untrained, path, text, problem):
    before = (untrained / path).read_text()
    (untrained / path).write_text(before + text)
    try:
        output = untrained.snakemake("report", succeeds=False)
    finally:
        (untrained / path).write_text(before)
    (line,) = [line for line in output.splitlines() if problem in line]
    assert line.startswith(f"{path}: line ")
    assert "Traceback" not in output
    assert not list(untrained.folder.glob("results/*/seed*"))


@pytest.mark.parametrize(
    ("registry", "old", "new"),
    [
        ("config/networks", "conv:ConvClassifier", "conv:Convclassifier"),
        ("config/networks", "torch_trainer:", "torch_trainr:"),
        ("data/registry", "generated:generate_images", "generated:generate"),
    ],
)
def test_a_class_that_does_not_exist_is_one_line(untrained, registry, old, new):
    path = f"hw2core/{registry}.py"
    untrained.edit(path, old, new)
    try:
        output = untrained.snakemake("-n", "results/exp1_1", succeeds=False)
        asked = [ask_status(untrained), ask_status(untrained, script="revalidate.py")]
    finally:
        untrained.edit(path, new, old)
    assert "Traceback" not in output
    for answer in (output, *(done.stderr for done in asked)):
        (line,) = [line for line in answer.splitlines() if f"{new}" in line]
        assert line.startswith(f"{path}: ")
    assert [(done.returncode, done.stderr.count("\n")) for done in asked] == [(2, 1), (1, 1)]


def test_a_smaller_run_replaces_nothing_and_may_be_made_elsewhere(study, tmp_path):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp1_2"] = copy.deepcopy(config["experiments"]["exp1_4"])
    study.configure(config)  # exp1_2 is to be copied from exp1_4, and not trained
    (study / "results/exp1_4_L4_K4").rename(study / "results/exp1_2_L4_K4")
    kept = [study / f"results/{run}_L4_K4/seed0.json" for run in ("exp1_2", "exp2")]
    before = [path.read_bytes() for path in kept]
    smaller = ["--config", "training={epochs: 1}"]
    output = study.snakemake("all", *smaller, succeeds=False)
    (line,) = [line for line in output.splitlines() if "would be replaced" in line]
    assert "(2 epochs, 160 + 80 + 60 images of generated)" in line
    assert "and so would 3 more; nothing was started" in line
    assert "Traceback" not in output
    assert "nothing was started" in study.snakemake("-n", *smaller)
    assert [path.read_bytes() for path in kept] == before
    elsewhere = ["--directory", str(tmp_path / "elsewhere"), "--configfile", "config.yaml"]
    study.snakemake("results/exp1_1_L2_K4", *elsewhere, *smaller)
    assert (tmp_path / "elsewhere/results/exp1_1_L2_K4/seed0.json").exists()


def test_another_result_that_arrives_before_it_is_shared_is_refused(study):
    config = copy.deepcopy(TINY)
    config["experiments"]["exp3"] = {**TINY["experiments"]["exp2"], "training": {"lr": 0.001}}
    spec = load_study(config).runs["exp3_L4_K4"]
    command = ["workflow_scripts/share_result.py", "--original", "exp2_L4_K4", "--seed", "0"]
    share = study.execute(*command, "--spec", spec.to_json(), environment={})
    output, _ = share.communicate(timeout=60)
    assert share.returncode == 1
    assert "exp2_L4_K4/seed0.json: replaced by another while waiting (training.lr: was" in output
    assert not (study / "results/exp3_L4_K4").exists()


def test_the_quick_look_has_all_runs_with_few_real_images_and_epochs():
    """An experiment of config.yaml with epochs of its own has to be in quick/study.yaml too."""
    quick, full = load_study(read_configs(QUICK)), load_study(read_configs(QUICK[:1]))
    assert list(quick.runs) == list(full.runs)
    assert quick.data.name == "cifar10"
    for spec in quick.runs.values():
        assert spec.training.epochs <= 3, spec.name
        assert max(spec.data.train, spec.data.validation, spec.data.test) <= 800, spec.name
    assert all(len(experiment.seeds) == 1 for experiment in quick.experiments.values())


def test_the_quick_look_leaves_the_results_where_they_are(study, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/missing")  # as if it was full: no call writes there
    data = {**TINY["data"], "train": 100}
    (study / "quick/study.yaml").write_text(json.dumps({"data": data, "training": {"epochs": 1}}))
    kept = [path for path in (study / "results").rglob("*") if path.is_file()]
    before = [path.read_bytes() for path in kept]
    output = study.snakemake("results/exp2_L4_K4", "--profile", "quick")
    assert "rule train" not in output
    assert re.search("^exp2_L4_K4 seed0: .*validation accuracy", output, flags=re.MULTILINE)
    assert (study / "output/quick/results/exp2_L4_K4/seed0.json").exists()
    assert [path.read_bytes() for path in kept] == before


def test_status_is_watched_until_all_runs_are_current(study):
    done = ask_status(study)
    assert done.returncode == 0, done.stdout
    assert [line.split()[2] for line in done.stdout.splitlines()[:-1]] == ["current"] * NUM_RUNS
    assert done.stdout.splitlines()[-1] == f"{NUM_RUNS} runs: {NUM_RUNS} current"
    pytest.importorskip("rich")
    done = ask_status(study, "--watch")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("current") == NUM_RUNS + 1
    assert "snakemake explore" in done.stdout


def test_status_that_is_watched_follows_edits(clone):
    pytest.importorskip("rich")
    code = clone / "hw2core/engine/optim.py"
    good = code.read_text()
    clone.overlay("exp2", training={"lr": 0.5})
    process = clone.execute("workflow_scripts/status.py", "--watch", environment={})
    time.sleep(8)  # one look
    assert process.poll() is None
    code.write_text("def (")
    clone.configure(TINY)
    time.sleep(8)
    assert process.poll() is None
    code.write_text(good)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output


def test_status_shows_a_running_run_beside_snakemake(tmp_path):
    study = copy_sources(tmp_path / "clone")
    config = copy.deepcopy(TINY)
    config["experiments"]["exp2"]["training"] = {"epochs": 1000}
    study.configure(config)
    process = study.start("results/exp2_L4_K4", start_new_session=True)
    try:
        log = study / "logs/train/exp2_L4_K4/seed0.log"
        while process.poll() is None and not (log.exists() and " 2/1000" in log.read_text()):
            time.sleep(0.1)
        done = ask_status(study, "results/exp2_L4_K4/", "exp1_4")
        locks = sorted((study / ".snakemake/locks").iterdir())
        study.snakemake("explore")
        assert sorted((study / ".snakemake/locks").iterdir()) == locks != []
    finally:
        os.killpg(process.pid, 9)
        process.communicate()
    other, running, total = done.stdout.splitlines()
    assert done.returncode == 1
    assert other.split()[2:4] == ["not", "trained"]
    assert re.search(
        r"running +epoch \d+/1000, validation accuracy [\d.]+ %, [\d.]+ (s|min|h|days) left$",
        running,
    )
    assert total.startswith("2 runs: 1 not trained, 1 running; left: about ")


def test_status_ends_quietly_and_refuses_unknown_names(untrained):
    head = f"set -o pipefail; {sys.executable} workflow_scripts/status.py | head -n 1 >/dev/null"
    done = subprocess.run(["bash", "-c", head], cwd=untrained.folder, capture_output=True)
    assert done.stderr == b""
    done = ask_status(untrained, "exp1_1_L3_K4")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean" in done.stderr
    for script, status in (("status.py", 2), ("revalidate.py", 1)):
        done = ask_status(untrained, "--config", "seeds", script=script)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr.startswith("--config seeds: Invalid config definition")
        assert done.stderr.count("\n") == 1
        done = ask_status(untrained, "--config", "training={flip: yes}", script=script)
        where = "config.yaml + --config: training.flip"
        assert done.stderr.startswith(f"{where}: 'yes': must be true or false")


def test_status_imports_no_torch(untrained):
    script = untrained / "workflow_scripts/status.py"
    code = (
        f"import runpy, sys; sys.argv = ['status.py']; sys.path.insert(0, {str(script.parent)!r})\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=untrained.folder, check=True)


def test_scripts_use_their_checkout_and_no_backend_of_a_notebook(untrained, tmp_path):
    installed = tmp_path / "hw2core/__init__.py"
    installed.parent.mkdir()
    installed.write_text("raise SystemExit('another checkout')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "MPLBACKEND": "module://nowhere"}
    command = [sys.executable, "workflow_scripts/make_figures.py", "--help"]
    subprocess.run(command, cwd=untrained.folder, env=environment, check=True)


def test_jobs_start_as_many_threads_as_a_run_asks_for(untrained):
    code = (
        "import use_checkout, torch, os\n"
        "from hw2core.runs.environment import OVERRIDES\n"
        "assert not set(OVERRIDES) & set(os.environ)\n"
        "assert torch.get_float32_matmul_precision() == 'highest'\n"
        "torch.set_num_threads(2)\n"
        "torch.nn.Conv2d(32, 32, 3)(torch.randn(128, 32, 32, 32)).sum().backward()\n"
    )
    environment = {**os.environ, **dict.fromkeys(OVERRIDES, "1")}
    command = [sys.executable, "-c", code]
    # With fewer threads, it never ends.
    subprocess.run(
        command, cwd=untrained / "workflow_scripts", env=environment, check=True, timeout=300
    )


@pytest.mark.parametrize(
    ("script", "option", "text", "problem"),
    [
        ("prepare_data", "--data", "{}", "name: missing"),
        ("prepare_data", "--data", "{", "Invalid JSON"),
        ("train", "--spec", "{}", "experiment: missing"),
        ("share_result", "--spec", "[1]", "must be"),
        *((f"make_{name}", "--experiments", "{}", "must be") for name in ("tables", "report")),
        (
            "make_figures",
            "--experiments",
            '[{"seeds": [true]}]',
            "0.seeds.0: True: must be a whole",
        ),
    ],
)
def test_an_option_that_is_not_the_right_json_is_one_line(untrained, script, option, text, problem):
    others = {"train": "data seed result weights threads", "share_result": "original seed"}
    words = [w for key in others.get(script, "manifest").split() for w in (f"--{key}", "0")]
    command = [sys.executable, f"workflow_scripts/{script}.py", option, text, *words]
    done = subprocess.run(command, cwd=untrained.folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"{script}.py: error: argument {option}: ")
    assert problem in line


def test_a_notice_that_cannot_be_written_is_one_line(study):
    study.overlay("exp2", training={"lr": 0.001})
    notices = study / ".snakemake/stale"
    shutil.rmtree(notices, ignore_errors=True)
    notices.touch()
    output = study.snakemake("-n", "results/exp2_L4_K4", succeeds=False)
    assert ".snakemake/stale/results_exp2_L4_K4_seed0.json." in output
    assert "cannot be written" in output
    assert "Traceback" not in output
