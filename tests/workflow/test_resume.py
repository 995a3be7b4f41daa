"""The training script, stopped in the middle and called again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkout import ROOT

from hw2core.config.spec import RunSpec

pytestmark = pytest.mark.workflow


SCRIPT = ROOT / "workflow_scripts/train.py"
# Its exit callbacks are called in the reverse order: torch's own come after this signal.
SIGNALLED_AT_ITS_END = f"""
import atexit, os, runpy, signal, sys, torch
sys.path.insert(0, {str(SCRIPT.parent)!r})  # as where it is called
atexit.register(os.kill, os.getpid(), signal.SIGTERM)
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


def start(
    spec: RunSpec, manifest: Path, folder: Path, seconds: int, program: tuple = (SCRIPT,), **options
) -> subprocess.Popen:
    command = [sys.executable, *program, "--spec", spec.to_json()]
    command += ["--seed", "0", "--data", manifest, "--result", folder / "seed0.json"]
    command += ["--weights", folder / "seed0.safetensors", "--log", folder / "log"]
    command += ["--threads", "1", "--checkpoint-seconds", str(seconds)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, **options)


def read_outcome(folder: Path) -> tuple[dict, bytes]:
    document = json.loads((folder / "seed0.json").read_text())
    return document["epochs"], (folder / "seed0.safetensors").read_bytes()


# A signal that can be handled writes the last whole epoch, however long ago the last write was.
@pytest.mark.parametrize(
    ("kind", "seconds"), [(signal.SIGKILL, 0), (signal.SIGTERM, 3600), (signal.SIGINT, 3600)]
)
def test_a_stopped_training_ends_as_if_it_had_not_been(
    tiny_values, tiny_manifest, tmp_path, kind, seconds
):
    tiny_values["training"]["epochs"] = 40
    spec = RunSpec.model_validate(tiny_values)
    undisturbed, stopped = tmp_path / "undisturbed", tmp_path / "stopped"
    reference = start(spec, tiny_manifest, undisturbed, seconds)
    process = start(spec, tiny_manifest, stopped, seconds)
    log = stopped / "log"
    while not log.exists() or "epoch  3/40" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(kind)
    assert process.wait(60) != 0
    assert not (stopped / "seed0.json").exists()
    if kind != signal.SIGKILL:
        assert "stopped by a signal" in log.read_text()

    assert start(spec, tiny_manifest, stopped, seconds).wait(120) == 0
    assert "resuming after epoch" in log.read_text()
    assert reference.wait(120) == 0
    assert read_outcome(stopped) == read_outcome(undisturbed)
    assert sorted(path.name for path in stopped.iterdir()) == [
        "log",
        "seed0.json",
        "seed0.safetensors",
    ]


def test_a_training_that_is_done_cannot_be_stopped(tiny_spec, tiny_manifest, tmp_path):
    program = ("-c", SIGNALLED_AT_ITS_END)
    process = start(tiny_spec, tiny_manifest, tmp_path, 0, program, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"Traceback" not in errors
    assert (tmp_path / "seed0.json").exists()
