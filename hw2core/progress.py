"""Lines that a person can follow: one an epoch, on the terminal and in a log file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hw2core.epoch_watch import EpochReport


def open_log(label: str, path: Path | str | None = None) -> logging.Logger:
    """Return a logger that writes to the terminal, each line led by ``label``, and to a file.

    Several jobs share a terminal, so each line says whose it is; the file holds one job. With a
    file, an exception that nobody catches is logged there too, before it ends the process. A log
    that cannot be written stops no job.
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
            file = logging.FileHandler(path, mode="w", encoding="utf-8")
        except OSError as error:
            logger.warning(f"{path}: no log is written ({error.strerror})")
            return logger
        file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(file)
        sys.excepthook = lambda *error: logger.critical("failed", exc_info=error)
    return logger


def format_epoch(report: EpochReport) -> str:
    """Return one line on an epoch: losses, accuracies, speed and time left."""
    minutes, seconds = divmod(round(report.seconds_left), 60)
    return (
        f"epoch {report.epoch:>{len(str(report.num_epochs))}}/{report.num_epochs}  "
        f"train loss {report.train_loss:.3f} accuracy {report.train_accuracy:5.1f} %  "
        f"validation loss {report.validation_loss:.3f} "
        f"accuracy {report.validation_accuracy:5.1f} %  "
        f"{report.images_per_second:,.0f} images/s  {minutes}:{seconds:02d} left"
    )
