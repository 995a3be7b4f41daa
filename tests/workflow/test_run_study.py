"""Tests of gpu/run_study.py, on the CPU with tiny runs."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path

import psutil
import pytest
import yaml
from checkout import ROOT, TINY, Checkout, copy_sources

from hw2core.config.spec import RunSpec
from hw2core.config.study import load_study
from hw2core.errors import UserError
from hw2core.runs.checkpoint import Checkpoint
from hw2core.runs.files import read_evaluation, read_result, write_evaluation, write_result
from hw2core.runs.staleness import Identity

pytestmark = pytest.mark.workflow

_spec = importlib.util.spec_from_file_location("run_study", ROOT / "gpu/run_study.py")
run_study = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run_study)
Budget = run_study.Budget


def test_the_most_informative_runs_come_first():
    study = load_study(
        {**yaml.safe_load((ROOT / "config.yaml").read_text()), "seeds": [0, 1, 2]}, "config.yaml"
    )
    (_, first), (_, second), (_, rest) = run_study.order_runs(study)
    assert len(first) == 34
    assert {seed for _, seed in first} == {0}
    assert len(second) == 4 * 2
    assert all(run.startswith("exp2_") and seed in (1, 2) for run, seed in second)
    everything = [pair for experiment in study.experiments.values() for pair in experiment.pairs()]
    assert sorted(first + second + rest) == sorted(everything)


@pytest.fixture
def archive(in_folder) -> Path:
    return in_folder / "study.tar.gz"


def list_names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return [member.name for member in tar if member.isfile()]


RUN = "results/tiny_L2_K8"


def test_the_archive_holds_results_and_counts_them(archive, write_run, capsys):
    write_run()
    Path(RUN, "seed1.checkpoint").touch()
    Path(RUN, ".seed1.host.1.tmp.json").touch()
    assert run_study.pack(archive, {}) == 1
    assert capsys.readouterr().out.startswith(f"{archive}: 1 results, 1 checkpoints")
    suffixes = ("0.json", "0.safetensors", "0.test.json", "1.checkpoint")
    assert list_names(archive) == [f"{RUN}/seed{suffix}" for suffix in suffixes]


@pytest.mark.parametrize("linked", ["results", RUN])
def test_results_behind_a_link_are_in_the_archive(archive, write_run, linked):
    write_run()
    Path("scratch").mkdir()
    Path(linked).rename("scratch/there")
    Path(linked).symlink_to(Path("scratch/there").absolute())
    assert run_study.pack(archive, {}) == 1
    assert f"{RUN}/seed0.json" in list_names(archive)


def test_an_evaluation_of_earlier_weights_is_named_and_left_out(archive, write_run, capsys):
    write_run()
    path = Path(RUN, "seed0.test.json")
    write_evaluation(path, read_evaluation(path).model_copy(update={"weights_sha256": "b" * 64}))
    assert run_study.pack(archive, {}) == 1
    assert list_names(archive) == [f"{RUN}/seed0.json", f"{RUN}/seed0.safetensors"]
    assert f"not packed: {path}: not of the weights of its result" in capsys.readouterr().out


def test_an_evaluation_of_weights_that_are_replaced_is_not_lost(archive, write_run, tiny_spec):
    write_run()
    assert run_study.pack(archive, {}) == 1
    packed, _ = run_study.list_files(archive)
    path = Path(RUN, "seed0.json")
    without = [each for each in packed if each.suffixes != [".test", ".json"]]
    runs = {tiny_spec.name: tiny_spec}
    assert "seed0.test.json" in run_study.explain_loss(archive, without, runs)
    result = read_result(path)
    write_result(path, result.model_copy(update={"weights_sha256": "b" * 64}))
    assert "seed0.test.json" not in run_study.explain_loss(archive, without, runs)


def test_what_is_damaged_is_named_and_left_out(archive, write_run, capsys):
    for seed in range(4):
        write_run(seed=seed)
    Path(RUN, "seed0.json").write_text("{}")
    Path(RUN, "seed1.safetensors").write_bytes(b"damaged")
    Path(RUN, "seed2.test.json").write_text("{}")
    Path("logs/train").mkdir(parents=True)
    Path("logs/train/a.log").symlink_to("missing")
    os.mkfifo(Path(RUN, "seed4.checkpoint"))
    Path(RUN, "loop").symlink_to("..")
    assert run_study.pack(archive, {}) == 3
    assert list_names(archive) == [
        f"{RUN}/{file}"
        for file in (
            *("seed1.json", "seed1.test.json", "seed2.json", "seed2.safetensors"),
            *("seed3.json", "seed3.safetensors", "seed3.test.json"),
        )
    ]
    *problems, summary, _ = capsys.readouterr().out.splitlines()
    assert summary.startswith(f"{archive}: 3 results, 0 checkpoints")
    assert [problem.removeprefix("not packed: ").partition(": ")[0] for problem in problems] == [
        "logs/train/a.log",
        *(
            f"{RUN}/{file}"
            for file in (
                *("seed0.json", "seed1.safetensors", "seed2.test.json"),
                "seed4.checkpoint",
            )
        ),
    ]


def test_checkpoints_alone_are_packed_and_without_any_an_older_archive_stays(archive):
    archive.write_text("old")
    Path(RUN).mkdir(parents=True)
    with pytest.raises(UserError, match="no result and no checkpoint"):
        run_study.pack(archive, {})
    assert archive.read_text() == "old"
    Path(RUN, "seed0.checkpoint").touch()
    assert run_study.pack(archive, {}) == 0
    assert list_names(archive) == [f"{RUN}/seed0.checkpoint"]


def test_an_archive_that_cannot_be_completed_leaves_the_old_one(archive, write_run, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    archive.write_text("old")
    write_run()
    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    with pytest.raises(UserError, match="No space left"):
        run_study.pack(archive, {})
    assert archive.read_text() == "old"
    assert sorted(path.name for path in archive.parent.iterdir()) == ["results", "study.tar.gz"]


def test_an_older_archive_is_kept_if_it_holds_results_that_are_not_here(archive, write_run, capsys):
    for seed in (0, 1):
        write_run(seed=seed)
    run_study.pack(archive, {})
    both = archive.read_bytes()
    for path in Path(RUN).glob("seed1.*"):
        path.unlink()
    lost = f"3 files missing or of smaller or stale runs here, such as {RUN}/seed1.json"
    for number in ("", "1"):
        archive.write_bytes(both)
        kept = Path(f"{archive}.previous{number}")
        capsys.readouterr()
        assert run_study.pack(archive, {}) == 1
        line, summary, _ = capsys.readouterr().out.splitlines()
        assert line == f"{kept}: the older study.tar.gz, which holds {lost}"
        assert summary.startswith(f"{archive}: 1 results, 0 checkpoints")
        assert kept.read_bytes() == both
    write_run(seed=1)
    write_run(seed=2)
    assert run_study.pack(archive, {}) == 3
    assert len(list(Path().glob("study*"))) == 3


def test_an_older_archive_is_kept_if_its_results_are_of_larger_runs(archive, write_run, tiny_spec):
    write_run()
    run_study.pack(archive, {})
    config = tiny_spec.describe(0)
    config["training"]["lr"] = 0.5  # as a run that was stale
    runs = write_as_configured(write_run, config)
    run_study.pack(archive, runs)
    assert not Path(f"{archive}.previous").exists()
    older, config["training"]["epochs"] = archive.read_bytes(), 2
    run_study.pack(archive, write_as_configured(write_run, config))
    assert Path(f"{archive}.previous").read_bytes() == older


def write_as_configured(write_run, config: dict) -> dict[str, RunSpec]:
    """Write a current result; return the configured runs."""
    spec = RunSpec.from_config(config)
    identity = Identity.of(spec, 0)
    write_run(config=config, code=identity.code, **identity.hash_parts())
    return {spec.name: spec}


def test_an_older_archive_is_kept_if_its_results_are_current_and_those_here_are_not(
    archive, write_run, tiny_spec, capsys
):
    """As those of a machine with a GPU, before they are unpacked."""
    old = tiny_spec.describe(0)
    new = {**old, "training": old["training"] | {"lr": 0.5}}
    runs = write_as_configured(write_run, new)
    run_study.pack(archive, runs)
    current = archive.read_bytes()
    write_as_configured(write_run, old)
    run_study.pack(archive, runs)
    kept = Path(f"{archive}.previous")
    assert kept.read_bytes() == current
    assert f"{kept}: the older study.tar.gz, which holds 1 file missing" in capsys.readouterr().out
    run_study.pack(archive, runs)  # the same results
    write_as_configured(write_run, new)
    run_study.pack(archive, runs)  # current ones
    assert len(list(Path().glob("study*"))) == 2


@pytest.mark.parametrize(("ours", "kept"), [(None, True), (2, True), (3, False), (4, False)])
def test_an_older_archive_is_kept_if_its_checkpoint_is_further_on(
    archive, write_run, tiny_spec, ours, kept
):
    write_run(seed=1)
    save_checkpoint(tiny_spec, 3)
    run_study.pack(archive, {})
    Path(RUN, "seed0.checkpoint").unlink()
    if ours:
        save_checkpoint(tiny_spec, ours)
    run_study.pack(archive, {})
    assert Path(f"{archive}.previous").exists() == kept


def save_checkpoint(spec, epochs: int) -> None:
    identity = Identity.of(spec, 0).describe()
    curve = [([1.0], 50.0)] * epochs
    state = {"setting": {}, "train": curve, "test": curve, "layers": {}, "best_weights": {}}
    state |= {"seconds": [1.0] * epochs, "speeds": [1.0] * epochs}
    store = Checkpoint(
        Path(RUN, "seed0.checkpoint"), identity, getLogger("test"), seconds_between_writes=0
    )
    store.save(state)


@pytest.mark.usefixtures("handlers")
def test_results_that_are_only_in_an_older_archive_are_named_before_training(
    archive, write_run, capsys, monkeypatch
):
    write_run(seed=1)
    run_study.pack(archive, {})
    monkeypatch.setattr("sys.argv", ["run_study.py", "--minutes", "0"])
    monkeypatch.setattr(run_study, "train", lambda *_: print("training") or False)
    assert run_study.main() == 0
    assert "holds" not in capsys.readouterr().out
    for path in Path(RUN).iterdir():
        path.unlink()
    assert run_study.main() == 1
    holds, advice, training = capsys.readouterr().out.splitlines()
    assert holds.startswith("study.tar.gz holds 3 files missing ")
    assert advice.startswith("to resume from it, stop and call: python ")
    assert advice.endswith("workflow_scripts/unpack.py study.tar.gz")
    assert training == "training"


def test_files_that_change_while_it_packs_are_as_at_one_moment(archive, write_run, monkeypatch):
    write_run()
    log, checkpoint = Path("logs/train/a/seed0.log"), Path(RUN, "seed1.checkpoint")
    log.parent.mkdir(parents=True)
    log.write_text("1\n2\n")
    checkpoint.touch()

    def change(tar, path, **options):
        checkpoint.unlink(missing_ok=True)  # its run has ended
        Path(path).write_bytes(Path(path).read_bytes()[:-2])
        return get_info(tar, path, **options)

    get_info = tarfile.TarFile.gettarinfo
    monkeypatch.setattr(tarfile.TarFile, "gettarinfo", change)
    assert run_study.pack(archive, {}) == 1
    with tarfile.open(archive) as tar:
        assert tar.extractfile(str(log)).read() == b"1\n2\n"
        assert str(checkpoint) not in tar.getnames()


def test_a_connection_that_is_lost_while_it_packs_does_not_stop_it(archive, write_run):
    for number in range(3):
        write_run(seed=number)
        run_study.pack(archive, {})
        Path(RUN, f"seed{number}.json").unlink()
    write_run(seed=3)
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'gpu')!r}); import run_study, pathlib; "
    program += f"run_study.pack(pathlib.Path({str(archive)!r}), {{}})"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{RUN}/seed3.json" in list_names(archive)
    assert list_names(Path(f"{archive}.previous"))


def test_what_is_no_archive_is_kept(archive, write_run, capsys):
    archive.write_text("notes")
    write_run()
    run_study.pack(archive, {})
    assert Path(f"{archive}.previous").read_text() == "notes"
    assert "which holds what cannot be read (" in capsys.readouterr().out


@pytest.fixture
def handlers():
    """Restores what happens on a signal."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_the_time_except_a_hangup_under_nohup(number, handlers):
    budget = Budget(5)
    assert not budget.is_over()
    os.kill(os.getpid(), number)
    assert budget.is_over()
    assert budget.status == 128 + number
    signal.signal(number, signal.SIG_IGN)
    budget = Budget(5)
    os.kill(os.getpid(), number)
    assert budget.is_over() == (number != signal.SIGHUP)


@pytest.mark.usefixtures("handlers")
def test_a_command_that_ends_in_time_tells_its_status():
    assert run_study.run_within(Budget(1), ["false"]) == 1
    assert run_study.run_within(Budget(-1), ["false"]) is None


# Like a run that writes its checkpoint a moment after the process that started it has ended.
SLOW_TO_STOP = """
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(1)
    pathlib.Path("saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
pathlib.Path("started").touch()
time.sleep(60)
"""


def test_a_stop_waits_for_every_process(in_folder):
    Path("child.py").write_text(SLOW_TO_STOP)
    command = f"trap 'exit 1' TERM; {sys.executable} child.py & wait"
    process = subprocess.Popen(["bash", "-c", command], start_new_session=True)
    wait_for(Path("started").exists)
    run_study.stop(process)
    assert Path("saved").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_what_does_not_stop_is_killed(in_folder, monkeypatch, capsys):
    monkeypatch.setattr(run_study, "SECONDS_TO_STOP", 0.5)
    command = "trap '' TERM; touch started; sleep 60"
    process = subprocess.Popen(["bash", "-c", command], start_new_session=True)
    wait_for(Path("started").exists)
    run_study.stop(process)
    assert process.returncode == -signal.SIGKILL
    assert "--unlock" in capsys.readouterr().out


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    """Two runs, long enough to be stopped in the middle."""
    checkout = copy_sources(tmp_path / "clone [v2]")
    config = copy.deepcopy(TINY)
    config["experiments"] = {name: config["experiments"][name] for name in ("exp1_4", "exp2")}
    checkout.configure(config)
    return checkout


def start(checkout: Checkout, *arguments: str, seeds: Sequence[str] = "0") -> subprocess.Popen:
    chosen = ["--seeds", *seeds] if seeds else []
    command = ("gpu/run_study.py", *chosen, "--minutes", "5", *arguments)
    return checkout.execute(*command, environment={}, start_new_session=True)


def test_a_call_trains_every_stage_and_packs_it(checkout):
    (checkout / "long.yaml").write_text("training: {epochs: 3}\n")  # in place of 2
    files = ["--configfile", "long.yaml"]
    process = start(checkout, *files, seeds="01")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "further seeds of exp2: 1 run\n" in output
    assert "study.tar.gz: 4 results, 0 checkpoints" in output
    names = list_names(checkout / "study.tar.gz")
    for run in ("exp1_4_L4_K4", "exp2_L4_K4"):
        for seed in (0, 1):
            for file in (f"results/{run}/seed{seed}.json", f"results/{run}/seed{seed}.test.json"):
                assert file in names
            result = json.loads((checkout / f"results/{run}/seed{seed}.json").read_text())
            assert len(result["epochs"]["train_loss"]) == 3


def test_edits_during_a_call_do_not_change_what_later_stages_train(checkout):
    (checkout / "long.yaml").write_text("training: {epochs: 3}\nseeds: [0, 1]\n")
    recipes = ["config.yaml", "long.yaml", "hw2core/engine/run.py"]
    recipes += ["gpu/config.yaml", "profiles/default/config.yaml"]
    process = start(checkout, "--configfile", "long.yaml", seeds="")
    wait_for(lambda: list((checkout / "logs/train").glob("*/*.log")) or process.poll() is not None)
    for recipe in recipes:
        (checkout / recipe).write_text("def (")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "study.tar.gz: 4 results, 0 checkpoints" in output
    for path in (checkout / "results").glob("*/seed?.json"):
        assert len(json.loads(path.read_text())["epochs"]["train_loss"]) == 3


def test_a_study_in_a_folder_of_its_own_is_trained_with_the_settings_of_every_call(checkout):
    own = Checkout(checkout / "own")
    own.folder.mkdir()
    own.configure(TINY | {"experiments": {"exp2": TINY["experiments"]["exp2"]}})
    (checkout / "config.yaml").unlink()
    command = ("../gpu/run_study.py", "--seeds", "0", "--minutes", "5")
    output, _ = (process := own.execute(*command, environment={})).communicate(timeout=240)
    assert process.returncode == 0, output
    assert "workflow specific profile" in output
    assert "study.tar.gz: 1 results, 0 checkpoints" in output


def test_ctrl_c_during_the_imports_is_no_traceback(checkout):
    source = (checkout / "hw2core/errors.py").read_text()
    interrupt = "\nimport signal\nsignal.raise_signal(signal.SIGINT)\n"
    (checkout / "hw2core/errors.py").write_text(source + interrupt)
    output, _ = (process := start(checkout)).communicate(timeout=60)
    assert (process.returncode, output) == (-signal.SIGINT, "")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--minutes", "nan"], "argument --minutes: 'nan': must be a number of minutes"),
        (["--minutes", "-1"], "argument --minutes: '-1': must be a number of minutes"),
        (["--minutes", "5", "--archive", "hw2core"], "hw2core: cannot be written"),
        (["--minutes", "5", "--", "--directory=elsewhere"], "--directory: not after --"),
        (["--minutes", "5", "--", "--config", "seeds=[0,1]"], "--config: not after --"),
        (["--minutes", "5", "--", "-Cseeds=[0,1]"], "-Cseeds: not after --"),
        (["--minutes", "5", "--", "--direct=elsewhere"], "--direct: not after --"),
        (["--minutes", "5", "--", "--profile", "quick"], "--profile: not after --"),
    ],
)
def test_wrong_arguments_are_one_line_before_the_first_run(checkout, arguments, problem):
    output, _ = (process := start(checkout, *arguments)).communicate(timeout=60)
    assert process.returncode in (1, 2)
    assert problem in output
    assert "runs" not in output


def test_a_lost_connection_stops_every_run_and_packs(checkout):
    """As does a signal: see above."""
    checkout.configure({**yaml.safe_load((checkout / "config.yaml").read_text()), "seeds": [0]})
    (checkout / "long.yaml").write_text("training: {epochs: 5000}\n")
    process = start(checkout, "--configfile", "long.yaml", seeds="")
    logs = [checkout / f"logs/train/{run}/seed0.log" for run in ("exp1_4_L4_K4", "exp2_L4_K4")]
    wait_for(
        lambda: (
            any(log.exists() and "epoch" in log.read_text() for log in logs)
            or process.poll() is not None
        )
    )
    runs = psutil.Process(process.pid).children(recursive=True)
    process.stdout.close()
    assert process.wait(60) == 129
    assert not [run for run in runs if run.is_running() and run.status() != "zombie"]
    assert any("stopped by a signal" in log.read_text() for log in logs if log.exists())
    assert any(name.endswith(".checkpoint") for name in list_names(checkout / "study.tar.gz"))
    assert not list(checkout.folder.glob(".snakemake/locks/*"))
