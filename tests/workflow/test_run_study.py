"""The command for a day with a GPU, on the CPU with tiny runs."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import time

import pytest
import yaml
from checkout import ROOT, TINY, copy_sources

from hw2core.config.study import load_study

pytestmark = pytest.mark.workflow

_spec = importlib.util.spec_from_file_location("run_study", ROOT / "gpu/run_study.py")
run_study = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(run_study)


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


def test_when_the_time_is_over_every_process_is_asked_to_stop(tmp_path):
    child = (
        "import signal, sys, time, pathlib\n"
        "def stop(*_): pathlib.Path(sys.argv[1]).write_text('saved'); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "child.py").write_text(child)
    saved = tmp_path / "saved"
    start = time.monotonic()
    shell = f"{sys.executable} {tmp_path}/child.py {saved} & wait"
    assert run_study.run_until(start + 5, ["bash", "-c", shell]) is None
    while not saved.exists() and time.monotonic() < start + 30:
        time.sleep(0.05)
    assert saved.read_text() == "saved"


def test_a_command_that_ends_in_time_tells_its_status():
    assert run_study.run_until(time.monotonic() + 30, ["false"]) == 1
    assert run_study.run_until(time.monotonic() - 1, ["false"]) is None


def test_two_calls_give_what_one_would_have(tmp_path):
    """The first call has no time for anything; the second trains all, packed to be taken away."""
    checkout = copy_sources(tmp_path / "clone")
    config = copy.deepcopy(TINY)
    config["experiments"] = {name: config["experiments"][name] for name in ("exp1_4", "exp2")}
    checkout.configure(config)

    def call(minutes: str) -> str:
        command = [sys.executable, "gpu/run_study.py", "--minutes", minutes, "--seeds", "0", "1"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        result = subprocess.run(
            command, cwd=checkout.folder, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert "the time is over" in call("0")
    assert not list(checkout.folder.glob("results/*/*.json"))
    assert "further seeds of exp2: 1 runs" in call("5")
    with tarfile.open(checkout / "study.tar.gz") as archive:
        names = archive.getnames()
    for run in ("exp1_4_L4_K4", "exp2_L4_K4"):
        for seed in (0, 1):
            for file in (f"results/{run}/seed{seed}.json", f"results/{run}/seed{seed}.test.json"):
                assert file in names
                assert json.loads((checkout / file).read_text())
