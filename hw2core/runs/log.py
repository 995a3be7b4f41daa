"""Logs a job on the terminal and in a file: a line per epoch, and one per error."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hw2core.errors import UserError
from hw2core.io import check_regular

if TYPE_CHECKING:
    from hw2core.engine.recorder import Recorder

SECONDS_BETWEEN_LINES = 10.0  # of a job on the terminal
NO_EPOCH = "no epoch fitted into"  # in the last line of a run whose time limit is too short
NEVER_STARTS = "never starts"  # in the line of a job that the site does not allow
EPOCH_LINE = re.compile(
    r"epoch +(\d{1,6})/([1-9]\d{0,5}) .* accuracy +(\d{1,3}(?:\.\d)?) % .* (\d{1,6}):(\d\d) left$",
    re.ASCII,
)
LARGEST_LOG = 1 << 30  # bytes


def run_job(
    work: Callable[[logging.Logger], str],
    label: str,
    path: Path | None = None,
    *,
    shows_end: bool = False,
) -> int:
    """Do the work of a script and return its exit status: 0, or 1 after logging a ``UserError``.

    Args:
        work: called with the log; returns the line that reports the outcome.
        label: names the job on the terminal.
        path: the log file.
        shows_end: show the last line on the terminal, however short the job was.
    """
    log = open_log(label, path)
    try:
        log.info(work(log), extra={"shown": True} if shows_end else None)
    except UserError as error:
        log.error(str(error))
        return 1
    except KeyboardInterrupt:
        log.warning("stopped by a signal")
        return 130
    return 0


def open_log(label: str, path: Path | str | None = None) -> logging.Logger:
    """Return a logger that writes to a file and, with ``label`` before each line, to the terminal.

    With a file, an uncaught exception is logged there too, before it ends the process, and the
    terminal gets fewer lines: see ``_Pace``. If the file cannot be written, the job continues
    without it.
    """
    logging.raiseExceptions = False  # on a full disk each line would print a traceback
    logger = logging.getLogger(f"hw2core.{label}")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers.clear()
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter(f"{label}: %(message)s"))
    logger.addHandler(terminal)
    if path is not None:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            if Path(path).exists():
                check_regular(path, sys.maxsize)  # a pipe would wait for its reader
            file = logging.FileHandler(path, mode="w", encoding="utf-8")
        except OSError as error:
            logger.warning(f"{path}: no log is written ({error.strerror})")
            return logger
        terminal.addFilter(_Pace())
        file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(file)
        sys.excepthook = lambda *error: logger.critical("failed", exc_info=error)
    return logger


class _Pace(logging.Filter):
    """Lets a line through every 10 seconds; warnings, errors and what has ``shown`` always."""

    def __init__(self) -> None:
        super().__init__()
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.INFO or hasattr(record, "shown"):
            return True
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + SECONDS_BETWEEN_LINES
        return True


def read_log(path: str) -> tuple[str, os.stat_result]:
    """Return the text of a log, whatever it contains, and the status of its file.

    Raises:
        OSError: the log is missing, cannot be read, or is larger than any of a job.
    """
    check_regular(path, LARGEST_LOG)
    with Path(path).open(encoding="utf-8", errors="replace") as file:
        # A network file system may return an outdated status of a file that is not open.
        return file.read(), os.fstat(file.fileno())


def format_epoch(recorder: Recorder) -> str:
    """Return one line on the last epoch: losses, accuracies, speed and time left."""
    train, validation = recorder.train[-1], recorder.test[-1]
    minutes, seconds = divmod(round(recorder.seconds_left), 60)
    total = recorder.num_epochs
    return (
        f"epoch {len(recorder.train):>{len(str(total))}}/{total}  "
        f"train loss {train.losses[0]:.3f} accuracy {train.accuracy:5.1f} %  "
        f"validation loss {validation.losses[0]:.3f} accuracy {validation.accuracy:5.1f} %  "
        f"{recorder.speeds[-1]:,.0f} images/s  {minutes}:{seconds:02d} left"
    )


class LoggedEpoch(NamedTuple):
    """An epoch as logged by ``format_epoch``, with its validation accuracy."""

    epoch: int
    num_epochs: int
    accuracy: float
    seconds_left: int


def parse_epoch(line: str) -> LoggedEpoch | None:
    """Parse a line of ``format_epoch``; return None for any other line."""
    found = EPOCH_LINE.search(line)
    if found is None:
        return None
    epoch, total, accuracy, minutes, seconds = found.groups()
    return LoggedEpoch(int(epoch), int(total), float(accuracy), 60 * int(minutes) + int(seconds))
