from __future__ import annotations

import subprocess
import sys

from hw2core.epoch_watch import EpochReport
from hw2core.progress import format_epoch

CODE = """
import sys
from hw2core.progress import open_log
log = open_log("run", sys.argv[1])
log.info("epoch 1")
raise RuntimeError("no memory")
"""


def test_lines_and_a_crash_reach_terminal_and_file(tmp_path):
    path = tmp_path / "deep" / "run.log"
    done = subprocess.run([sys.executable, "-c", CODE, path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "run: epoch 1\n" in done.stderr
    for text in (done.stderr, path.read_text()):
        assert "RuntimeError: no memory" in text
    assert path.read_text().splitlines()[0].endswith(" epoch 1")
    assert "\r" not in path.read_text()


def test_a_line_says_where_training_stands():
    report = EpochReport(3, 20, 1.25, 55.55, 1.3, 54.0, 12345.6, 125.4)
    line = format_epoch(report)
    for part in ("epoch  3/20", "1.250", " 55.5 %", "1.300", " 54.0 %", "12,346 images/s", "2:05"):
        assert part in line, line
