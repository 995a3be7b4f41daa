from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hw2core.engine.recorder import Recorder
from hw2core.errors import UserError
from hw2core.history import EpochResult
from hw2core.runs import log
from hw2core.runs.log import format_epoch, open_log, run_job

CODE = """
import sys
from hw2core.runs.log import open_log
log = open_log("run", sys.argv[1])
log.info("epoch 1")
raise RuntimeError("no memory")
"""


def test_lines_reach_the_file_and_a_crash_the_terminal_too(tmp_path):
    path = tmp_path / "deep" / "run.log"
    done = subprocess.run([sys.executable, "-c", CODE, path], capture_output=True, text=True)
    assert done.returncode == 1
    for text in (done.stderr, path.read_text()):
        assert "RuntimeError: no memory" in text
    assert path.read_text().splitlines()[0].endswith(" epoch 1")
    assert "\r" not in path.read_text()


def test_a_log_that_cannot_be_written_stops_no_job(tmp_path, capsys):
    (tmp_path / "file").touch()
    logger = open_log("run", tmp_path / "file" / "run.log")
    logger.info("epoch 1")
    warning, line = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"run: {tmp_path}/file/run.log: no log is written (")
    assert line == "run: epoch 1"


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # a log file changes it
    return tmp_path / "run.log"


def test_a_job_logs_what_it_made_or_an_error_for_the_user(path, capsys):
    for shows_end in (False, True):
        assert run_job(lambda log: "made x", "run", path, shows_end=shows_end) == 0
        assert path.read_text().endswith(" made x\n")
        assert capsys.readouterr().err == "run: made x\n" * shows_end
    assert run_job(lambda log: "made x", "run") == 0  # called by hand
    assert capsys.readouterr().err == "run: made x\n"

    def fail(log) -> str:
        raise UserError("x.json: damaged; delete it and run again")

    assert run_job(fail, "run", path) == 1
    assert path.read_text().endswith(" x.json: damaged; delete it and run again\n")
    assert capsys.readouterr().err == "run: x.json: damaged; delete it and run again\n"
    with pytest.raises(ZeroDivisionError):  # a bug is not caught
        run_job(lambda log: str(1 // 0), "run", path)


def test_the_terminal_gets_a_line_every_ten_seconds_and_all_warnings(path, monkeypatch, capsys):
    moment = 0.0
    monkeypatch.setattr(log.time, "monotonic", lambda: moment)
    logger = open_log("run", path)
    for second in range(0, 31, 2):
        moment = float(second)
        logger.info(f"epoch {second}")
        if second == 14:
            logger.warning("a warning")
    shown = capsys.readouterr().err.splitlines()
    assert shown == ["run: epoch 10", "run: a warning", "run: epoch 20", "run: epoch 30"]
    assert len(path.read_text().splitlines()) == 17


def test_ctrl_c_is_a_line_and_no_traceback(path, capsys):
    def work(log):
        raise KeyboardInterrupt

    assert run_job(work, "job", path) == 130
    assert path.read_text().endswith("stopped by a signal\n")
    assert "Traceback" not in capsys.readouterr().err


def test_a_pipe_in_place_of_a_log_is_not_waited_for(path, capsys):
    os.mkfifo(path)
    assert run_job(lambda log: "done", "job", path) == 0
    assert "no log is written (not a regular file)" in capsys.readouterr().err


def test_a_line_says_where_training_stands():
    recorder = Recorder()
    recorder.num_epochs = 20
    recorder.train = 3 * [EpochResult([1.25], 55.55)]
    recorder.test = 3 * [EpochResult([1.3], 54.0)]
    recorder.speeds, recorder.seconds = [1.0, 2.0, 12345.6], [7.0, 7.376, 9.0]
    line = format_epoch(recorder)
    for part in ("epoch  3/20", "1.250", " 55.5 %", "1.300", " 54.0 %", "12,346 images/s", "2:05"):
        assert part in line, line
