from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw2core.history import EpochResult
from hw2core.runs import paths
from hw2core.runs.durations import Device, Estimator, read_finished
from hw2core.runs.log import LoggedEpoch, format_epoch, parse_epoch
from hw2core.runs.states import Reporter, RunState, find_trained_here, summarize

NAME = "tiny_L2_K8"
LOG = Path(paths.log_path("train", NAME, "seed0"))
STAMP = "2026-01-02 03:04:05 "
EPOCH = (
    f"{STAMP}epoch 2/3  train loss 1.234 accuracy  45.1 %  validation loss 1.300 accuracy  50.5 %"
    "  3,000 images/s  0:20 left\n"
)
ESTIMATOR = Estimator([], Device("cpu", "a processor", "avx512_bf16"), 1)


@pytest.fixture
def report(tiny_spec, in_folder):
    """Returns the state of seed 0 of the tiny run."""

    def call(full: bool = False, twins: dict | None = None, **training) -> RunState:
        spec = tiny_spec.model_copy(
            update={"training": tiny_spec.training.model_copy(update=training)}
        )
        study = SimpleNamespace(
            runs={NAME: spec},
            experiments={"tiny": SimpleNamespace(pairs=lambda: [(NAME, 0)])},
            find_twins=lambda: twins or {},
        )
        reporter = Reporter(study, read_finished(study), ESTIMATOR, full=full)
        (status,) = reporter.report([(NAME, 0)])
        return status

    return call


def write_log(text: str, seconds_ago: float = 0) -> None:
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_text(text)
    then = time.time() - seconds_ago
    os.utime(LOG, (then, then))


def test_a_line_of_an_epoch_is_read_as_it_is_written():
    recorder = SimpleNamespace(
        train=[EpochResult((2.5,), 12.5)] * 7,
        test=[EpochResult((float("nan"),), 34.25)] * 7,
        seconds_left=3725.4,
        num_epochs=20,
        speeds=[12_345.6],
    )
    assert parse_epoch(format_epoch(recorder)) == LoggedEpoch(7, 20, 34.2, 3725)
    assert parse_epoch("trained: validation accuracy 50.00 % in epoch 2, 9 s -> x") is None


def test_a_run_without_files_is_not_trained(report):
    status = report()
    assert (status.state, status.detail) == ("not trained", "about 7 s")
    assert status.seconds_left == pytest.approx(7, abs=1)


def test_a_twin_waits_for_the_run_that_is_trained_in_its_place(report):
    status = report(twins={(NAME, 0): "other"})
    assert status[2:] == ("not trained", "gets the result of other", 0)


def test_a_current_run_shows_its_test_accuracy(report, write_run):
    write_run()
    assert report()[2:] == ("current", "test accuracy 75.0 %", 0)


def test_a_run_that_is_to_be_evaluated_is_stale_and_takes_no_time(report, write_run):
    write_run(evaluation=False)
    assert report()[2:] == ("to evaluate", "not evaluated yet", 0)


def test_a_failed_evaluation_names_its_log_and_the_last_line(report, write_run):
    write_run(evaluation=False)
    log = Path(paths.log_path("evaluate", NAME, "seed0"))
    log.parent.mkdir(parents=True)
    log.write_text(f"{STAMP}results/x.safetensors: missing\n")
    then = time.time() + 9
    os.utime(log, (then, then))
    assert report()[2:4] == ("failed", f"{log}: results/x.safetensors: missing")


def test_a_stale_run_says_why_and_says_all_when_asked_for(report, write_run):
    write_run()
    write_log(f"{STAMP}trained: validation accuracy 55 % in epoch 2, 3 s -> results/x", 9999)
    changes = {"lr": 0.5, "batch_size": 8, "epochs": 9}
    status = report(**changes)
    assert status.state == "stale"
    assert status.detail == (
        "training.batch_size: was 16, is 8; training.epochs: was 3, is 9; and 1 more"
    )
    assert report(full=True, **changes).detail.endswith("training.lr: was 0.003, is 0.5")


def test_a_run_with_a_fresh_log_is_running_elsewhere(report):
    write_log(EPOCH, seconds_ago=5)
    status = report()
    assert status.state == "running"
    assert status.detail == (
        "epoch 2/3, validation accuracy 50.5 %, 15 s left (not on this machine)"
    )
    assert status.seconds_left == pytest.approx(15, abs=1)


@pytest.mark.parametrize(
    "text",
    [
        f"{STAMP}cpu (a processor), bf16, threads 2, torch 2.14\n",
        f"{EPOCH}{STAMP}resuming after epoch 2, from results/x/seed0.checkpoint\n",
        f"{EPOCH}{STAMP}no checkpoint written, training continues: no space left\n",
        f"{STAMP}results/x/seed0.checkpoint: not used: of another run\n",
    ],
)
def test_a_log_that_goes_on_is_of_a_running_run(report, text):
    write_log(text)
    assert report().state == "running"


def test_a_silent_run_is_running_while_its_checkpoint_is_young(report):
    write_log(EPOCH, seconds_ago=9999)
    assert report().state == "interrupted"
    checkpoint = paths.checkpoint_path(Path(paths.result_path(NAME, 0)))
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert report().state == "running"


@pytest.mark.parametrize(
    ("end", "seconds_ago"),
    [("", 9999), (f"{STAMP}stopped by a signal; the next call resumes\n", 0)],
)
def test_a_stopped_or_killed_run_is_interrupted_and_has_the_rest_left(report, end, seconds_ago):
    write_log(EPOCH + end, seconds_ago)
    status = report()
    assert status[2:4] == ("interrupted", "epoch 2/3, validation accuracy 50.5 %")
    assert 0 < status.seconds_left < 4


@pytest.mark.parametrize(
    "end",
    [
        f"{STAMP}data/x/manifest.json: damaged; delete it and run again",
        f"{STAMP}failed\nTraceback (most recent call last):\n  File x\nValueError: no",
    ],
)
def test_a_failed_run_names_its_log_and_the_last_line(report, end):
    write_log(f"{EPOCH}{end}\n")
    status = report()
    assert status.state == "failed"
    last = end.splitlines()[-1].removeprefix(STAMP)
    assert status.detail == f"{LOG}: {last}"


def test_a_log_older_than_the_result_says_nothing(report, write_run):
    write_run()
    write_log(f"{STAMP}an error", seconds_ago=60)
    assert report(lr=0.5).state == "stale"


def test_a_trained_run_whose_result_was_deleted_is_not_trained(report):
    write_log(f"{EPOCH}{STAMP}trained: 55 % -> {paths.result_path(NAME, 0)}\n")
    assert report().state == "not trained"


def test_a_process_of_this_folder_is_running_however_silent(report, tmp_path):
    (tmp_path / "train.py").write_text("import time; print(flush=True); time.sleep(60)")
    result = paths.result_path(NAME, 0)
    command = [sys.executable, "train.py", "--result", result]
    write_log(EPOCH, seconds_ago=9999)
    (tmp_path / "other").mkdir()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            assert list(find_trained_here()) == [result]
            status = report()
            os.chdir("other")
            assert list(find_trained_here()) == []
        finally:
            process.kill()
    assert status[2:4] == ("running", "epoch 2/3, validation accuracy 50.5 %, 0 s left")


def test_the_summary_counts_and_adds_up_the_time_that_is_left():
    statuses = [
        RunState("a", 0, "current", ""),
        RunState("b", 0, "current", ""),
        RunState("c", 0, "running", "", 600),
        RunState("d", 0, "not trained", "", 600),
    ]
    line = summarize(statuses, ESTIMATOR, lambda run: 0.5)
    assert line.startswith(
        "4 runs: 2 current, 1 not trained, 1 running; left: about 10 min on this"
    )
    assert summarize(statuses[:2], ESTIMATOR, lambda run: 0.5) == "2 runs: 2 current"
