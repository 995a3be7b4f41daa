"""Rank runs by their mean validation accuracy; options and names are those of status.py.

Only current results of the runs and seeds of the configuration count. The test accuracy is not
shown, so that it cannot influence the choice.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))

from selected_runs import load_runs, make_parser

from hw2core.analysis.tables import build, summarize
from hw2core.errors import UserError
from hw2core.runs.files import read_result
from hw2core.runs.paths import result_path
from hw2core.runs.staleness import explain_result, refuse_mixed_images

COLUMNS = ["run", "seeds", "trained", "validation"]


def main() -> int:
    """Print the table, and how many results are not in it; return the exit status."""
    try:
        study, pairs = load_runs(make_parser(__doc__).parse_args())
        current = [pair for pair in pairs if not explain_result(study.runs[pair[0]], pair[1])]
        results = [read_result(result_path(*pair)) for pair in current]
        refuse_mixed_images(results)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if results:
        table = summarize(build([], results).runs)[COLUMNS]
        ranked = table.sort_values("validation", ascending=False)
        print(ranked.to_string(index=False, float_format="%.2f"))
    if len(current) < len(pairs):
        print(f"{len(pairs) - len(current)} of {len(pairs)} results are missing or stale")
    return 0


if __name__ == "__main__":
    sys.exit(main())
