"""Rank runs by their mean validation accuracy: python search/rank.py search/output/results/exp0_*

The test accuracy is not shown, so that it cannot influence the choice.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hw2core.analysis.tables import build, summarize
from hw2core.runs.files import read_result
from hw2core.runs.paths import RESULT_GLOB

folders = [Path(name) for name in sys.argv[1:]]
results = [read_result(path) for folder in folders for path in folder.glob(RESULT_GLOB)]
runs = summarize(build([], results).runs)
columns = ["run", "seeds", "trained", "validation"]
ranked = runs[columns].sort_values("validation", ascending=False)
print(ranked.to_string(index=False, float_format="%.2f"))
