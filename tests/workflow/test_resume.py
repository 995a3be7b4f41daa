"""The training script, stopped in the middle and called again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from checkout import ROOT

from hw2core.config.spec import RunSpec
from hw2core.pipeline import RESTARTS, mark_forced

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
    spec: RunSpec,
    manifest: Path,
    folder: Path,
    seconds: int,
    program: tuple = (SCRIPT,),
    *,
    variables: dict[str, str] | None = None,
    **options,
) -> subprocess.Popen:
    command = [sys.executable, *program, "--spec", spec.to_json()]
    command += ["--seed", "0", "--data", manifest, "--result", folder / "seed0.json"]
    command += ["--weights", folder / "seed0.safetensors", "--log", folder / "log"]
    command += ["--threads", "1", "--checkpoint-seconds", str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(variables or {})}
    return subprocess.Popen(command, env=environment, **options)


def read_outcome(folder: Path) -> tuple[dict, bytes]:
    document = json.loads((folder / "seed0.json").read_text())
    return document["epochs"], (folder / "seed0.safetensors").read_bytes()


def wait_for(process: subprocess.Popen, log: Path, text: str) -> None:
    """Wait until a log has some text, while the process runs."""
    while not log.exists() or text not in log.read_text():
        assert process.poll() is None
        time.sleep(0.02)


def test_a_stopped_training_ends_as_if_it_had_not_been(tiny_values, tiny_manifest, tmp_path):
    tiny_values["training"]["epochs"] = 40
    spec = RunSpec.model_validate(tiny_values)
    reference = start(spec, tiny_manifest, tmp_path / "undisturbed", 3600)
    # A signal that can be handled writes the last whole epoch, however long ago the last write was.
    handled = [(kind, 3600) for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    for kind, seconds in [(signal.SIGKILL, 0), *handled]:
        stopped = tmp_path / kind.name
        process = start(spec, tiny_manifest, stopped, seconds)
        log = stopped / "log"
        wait_for(process, log, "epoch  3/40")
        process.send_signal(kind)
        assert process.wait(60) != 0
        assert not (stopped / "seed0.json").exists()
        assert ("stopped by a signal" in log.read_text()) == (kind != signal.SIGKILL)

        assert start(spec, tiny_manifest, stopped, seconds).wait(120) == 0
        assert "resuming after epoch" in log.read_text()
        assert reference.wait(120) == 0
        assert read_outcome(stopped) == read_outcome(tmp_path / "undisturbed")
        assert {path.name for path in stopped.iterdir()} == {
            "log",
            "seed0.json",
            "seed0.safetensors",
        }


def test_a_default_that_changes_is_another_run(tiny_values, tiny_manifest, tmp_path):
    """The hash of a spec leaves defaults out; a checkpoint must not."""
    tiny_values["training"]["epochs"] = 40
    process = start(RunSpec.model_validate(tiny_values), tiny_manifest, tmp_path, 0)
    wait_for(process, tmp_path / "log", "epoch  3/40")
    process.kill()
    process.wait()
    edited = f"""
import runpy, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
from hw2core.config.schema import RecipeSpec
RecipeSpec.model_fields["translate"].default = 1
RecipeSpec.model_rebuild(force=True)
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    tiny_values["training"]["translate"] = 1
    again = start(
        RunSpec.model_validate(tiny_values), tiny_manifest, tmp_path, 0, ("-c", edited, SCRIPT)
    )
    assert again.wait(120) == 0
    assert "not used: of another run (config changed)" in (tmp_path / "log").read_text()


def test_a_training_that_is_done_cannot_be_stopped(tiny_spec, tiny_manifest, tmp_path):
    program = ("-c", SIGNALLED_AT_ITS_END)
    process = start(tiny_spec, tiny_manifest, tmp_path, 0, program, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"Traceback" not in errors
    assert (tmp_path / "seed0.json").exists()


def test_under_nohup_a_hangup_stops_nothing(tiny_spec, tiny_manifest, tmp_path):
    process = start(
        tiny_spec,
        tiny_manifest,
        tmp_path,
        0,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_for(process, tmp_path / "log", "threads 1")
    process.send_signal(signal.SIGHUP)
    assert process.wait(120) == 0
    first, *_ = (tmp_path / "log").read_text().splitlines()
    assert re.search(r" cpu \(.+\), fp32, threads 1, torch 2\.", first)


def test_a_gpu_that_torch_cannot_use_is_one_line_unless_the_cpu_is_asked_for(
    tiny_spec, tiny_manifest, tmp_path
):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    visible = {"CUDA_VISIBLE_DEVICES": "0"}
    options = {"stderr": subprocess.PIPE, "text": True}
    process = start(tiny_spec, tiny_manifest, tmp_path, 0, variables=visible, **options)
    (line,) = process.communicate(timeout=120)[1].splitlines()
    assert process.returncode == 1
    assert "CUDA_VISIBLE_DEVICES is 0, but torch cannot use a GPU" in line
    assert "HW2_DEVICE=cpu" in line
    variables = visible | {"HW2_DEVICE": "cpu"}
    assert start(tiny_spec, tiny_manifest, tmp_path, 0, variables=variables).wait(120) == 0


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
def test_a_run_is_trained_by_one_process_at_a_time(tiny_spec, tiny_manifest, tmp_path, end):
    folder = Path("results", tiny_spec.name)
    first = start(tiny_spec, tiny_manifest, folder, 0, cwd=tmp_path)
    wait_for(first, tmp_path / folder / "log", "torch")
    first.send_signal(signal.SIGSTOP)
    log = (tmp_path / folder / "log").read_text()
    options = {"stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    second = start(tiny_spec, tiny_manifest, folder, 0, **options)
    assert "another process trains this run; waiting" in second.stderr.readline()
    assert (tmp_path / folder / "log").read_text() == log
    first.send_signal(end)
    if end == signal.SIGKILL:
        first.send_signal(signal.SIGCONT)
    assert first.wait(120) == (0 if end == signal.SIGCONT else -signal.SIGKILL)
    second.communicate(timeout=120)
    assert second.returncode == 0
    shared = "trained by another process meanwhile" in (tmp_path / folder / "log").read_text()
    assert shared == (end == signal.SIGCONT)
    assert (tmp_path / folder / "seed0.json").exists()


# Replaces the GPU: the step of each run is captured, and that fails with an error of CUDA.
ON_A_GPU = f"""
import os, runpy, sys
sys.path[:0] = [{str(SCRIPT.parent)!r}, {str(ROOT)!r}]
import torch
from hw2core.engine import cuda_graph, torch_trainer
class Failing(cuda_graph.GraphedStep):
    def _run_aside(self, x, y):
        self._step(x, y)
    def _capture(self, x, y):
        raise RuntimeError({{error!r}})
begin = torch_trainer.DeviceTrainer.__init__
def begin_with_graph(self, *args, graph):
    off = os.environ.get("HW2_CUDA_GRAPH", "").startswith("0")
    begin(self, *args, graph=None if off else Failing)
torch_trainer.DeviceTrainer.__init__ = begin_with_graph
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


@pytest.mark.parametrize(
    ("arguments", "variables", "kept"),
    [
        (("--attempt", "2"), {}, True),
        ((), {RESTARTS: "1"}, True),
        ((), {}, False),
    ],
)
@pytest.mark.parametrize("still", ["there", "forced", "without weights"])
def test_a_later_attempt_keeps_what_an_earlier_one_has_trained(
    tiny_spec, tiny_manifest, tmp_path, monkeypatch, arguments, variables, kept, still
):
    """But not what was there before the call, which trains it again by force."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results", tiny_spec.name)
    assert start(tiny_spec, tiny_manifest, folder, 3600).wait(60) == 0
    if still == "forced":
        mark_forced(str(folder / "seed0.json"), forced=True)
    elif still == "without weights":
        (folder / "seed0.safetensors").unlink()
    options = {"program": (SCRIPT, *arguments), "variables": variables}
    assert start(tiny_spec, tiny_manifest, folder, 3600, **options).wait(60) == 0
    assert (folder / "seed0.safetensors").exists()
    log = (folder / "log").read_text()
    assert ("trained by an earlier attempt" in log) == (kept and still == "there")


def test_where_no_graph_can_be_captured_training_starts_again_without(
    tiny_spec, tiny_manifest, tmp_path
):
    program = ("-c", ON_A_GPU.format(error="operation not permitted when stream is capturing"))
    with_graph, without = tmp_path / "with", tmp_path / "without"
    assert start(tiny_spec, tiny_manifest, without, 0).wait(120) == 0
    assert start(tiny_spec, tiny_manifest, with_graph, 0, program).wait(120) == 0
    reason = "HW2_CUDA_GRAPH=0 (no CUDA graph: operation not permitted when stream is capturing)"
    assert reason in (with_graph / "log").read_text()
    assert read_outcome(with_graph) == read_outcome(without)


def test_too_little_memory_is_one_line_of_advice(tiny_spec, tiny_manifest, tmp_path):
    program = ("-c", ON_A_GPU.format(error="CUDA out of memory. Tried to allocate 2.00 GiB."))
    options = {"stderr": subprocess.PIPE, "text": True}
    process = start(tiny_spec, tiny_manifest, tmp_path, 0, program, **options)
    *_, line = process.communicate(timeout=120)[1].splitlines()
    assert process.returncode == 1
    assert "out of memory (CUDA out of memory. Tried to allocate 2.00 GiB.)" in line
    assert "--jobs 1" in line
    assert "Traceback" not in (tmp_path / "log").read_text()
