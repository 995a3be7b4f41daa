from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw2core.history import EpochResult
from hw2core.runs import paths, states
from hw2core.runs.durations import Device, Estimator, read_finished
from hw2core.runs.log import LoggedEpoch, format_epoch, parse_epoch
from hw2core.runs.states import Reporter, RunState, find_log, find_trained_here, summarize

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


@pytest.mark.parametrize(
    ("epoch", "total", "accuracy", "minutes"),
    [
        ("1", "0", "5", "1"),
        ("9" * 5000, "3", "5", "1"),
        ("1", "3", "1.2.3", "1"),
        ("1", "3", "5", "9" * 400),
        ("\N{ARABIC-INDIC DIGIT ONE}", "3", "5", "1"),
    ],
)
def test_a_line_that_no_run_writes_is_no_epoch(epoch, total, accuracy, minutes):
    line = "epoch {}/{}  validation loss 2 accuracy {} %  {}:09 left"
    assert parse_epoch(line.format("1", "3", "5", "1"))
    assert parse_epoch(line.format(epoch, total, accuracy, minutes)) is None


def test_a_run_without_files_is_not_trained_or_waits_for_its_twin(report):
    status = report()
    assert (status.state, status.detail) == ("not trained", "about 7 s")
    assert status.seconds_left == pytest.approx(7, abs=1)
    status = report(twins={(NAME, 0): "other"})
    assert status[2:] == ("not trained", "gets the result of other", 0)


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        (True, ("current", "test accuracy 75.0 %", 0)),
        (False, ("to evaluate", "not evaluated yet", 0)),
    ],
)
def test_a_current_result_shows_its_test_accuracy_or_is_to_be_evaluated(
    report, write_run, evaluation, expected
):
    write_run(evaluation=evaluation)
    assert report()[2:] == expected


def test_a_failed_evaluation_names_its_log_and_the_last_line(report, write_run):
    write_run(evaluation=False)
    log = Path(paths.log_path("evaluate", NAME, "seed0"))
    log.parent.mkdir(parents=True)
    log.write_text(f"{STAMP}results/x.safetensors: missing\n")
    then = time.time() + 9
    os.utime(log, (then, then))
    assert report()[2:4] == ("failed", f"{log}: results/x.safetensors: missing")
    log.write_text(f"{STAMP}stopped by a signal\n")
    os.utime(log, (then, then))
    assert report().state == "to evaluate"


def test_a_stale_result_that_is_shared_is_stale_and_no_missing_one(report, write_run):
    write_run()
    status = report(twins={(NAME, 0): "other"}, lr=0.5)
    assert (status.state, status.seconds_left) == ("stale", 0)
    assert status.detail == "training.lr: was 0.003, is 0.5; gets the result of other"


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


PROGRESS = "epoch 2/3, validation accuracy 50.5 %"
LEFT = "15 s left (not on this machine)"


@pytest.mark.parametrize(
    ("text", "seconds_ago", "state", "detail"),
    [
        (EPOCH, 5, "running", f"{PROGRESS}, {LEFT}"),
        (f"{EPOCH}{STAMP}resuming after epoch 2, from x\n", 5, "running", f"{PROGRESS}, {LEFT}"),
        (f"{EPOCH}{STAMP}no checkpoint written: full\n", 5, "running", f"{PROGRESS}, {LEFT}"),
        (f"{STAMP}cpu (a processor), bf16, threads 2, torch 2.14\n", 0, "running", "epoch 0/3, "),
        (f"{STAMP}x.checkpoint: not used: of another run\n", 0, "running", "epoch 0/3, "),
        (EPOCH, 9999, "interrupted", PROGRESS),
        (f"{EPOCH}{STAMP}stopped by a signal; the next call resumes\n", 0, "interrupted", PROGRESS),
        (f"{EPOCH}{STAMP}x/manifest.json: damaged\n", 0, "failed", f"{LOG}: x/manifest.json: dam"),
        (
            f"{STAMP}failed\nTraceback:\n  File x\nValueError: no\n",
            0,
            "failed",
            f"{LOG}: ValueError",
        ),
        (f"{EPOCH}{STAMP}\x1b[31mred\n", 0, "failed", rf"{LOG}: \x1b[31mred"),
        (f"{EPOCH}{STAMP}trained: 55 % -> {paths.result_path(NAME, 0)}\n", 0, "not trained", ""),
    ],
)
def test_the_last_line_of_a_log_and_its_age_tell_the_state(
    report, monkeypatch, text, seconds_ago, state, detail
):
    write_log(text, seconds_ago)
    then = LOG.stat().st_mtime
    monkeypatch.setattr(states, "time", SimpleNamespace(time=lambda: then + seconds_ago))
    status = report()
    assert status.state == state
    assert status.detail.startswith(detail)
    if state == "running" and "2/3" in detail:
        assert status.seconds_left == pytest.approx(15)
    if state == "interrupted":
        assert 0 < status.seconds_left < 4  # a third of the run


def test_an_interrupted_run_whose_checkpoint_will_not_be_used_says_so(report, monkeypatch):
    write_log(EPOCH, seconds_ago=9999)
    monkeypatch.setattr(states, "explain_unused", lambda spec, seed: "of another run")
    status = report()
    assert status[2:4] == ("interrupted", f"{PROGRESS}; not resumed: of another run")
    assert status.seconds_left > 6  # of the whole run


def test_a_silent_run_is_running_while_its_checkpoint_is_young(report):
    write_log(EPOCH, seconds_ago=9999)
    assert report().state == "interrupted"
    checkpoint = paths.checkpoint_path(Path(paths.result_path(NAME, 0)))
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert report().state == "running"


def test_a_pipe_in_place_of_a_log_says_nothing(report, write_run):
    LOG.parent.mkdir(parents=True)
    os.mkfifo(LOG)
    assert find_log("train", NAME, 0) is None


def test_a_log_older_than_the_result_says_nothing(report, write_run):
    write_run()
    write_log(f"{STAMP}an error", seconds_ago=60)
    assert report(lr=0.5).state == "stale"


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
