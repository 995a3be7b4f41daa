"""Mark results that a refactoring made stale as current, if tiny runs show no difference."""

from __future__ import annotations

import sys
from functools import partial

from selected_runs import load_runs, make_parser

from hw2core.errors import UserError
from hw2core.runs.revalidate import KEPT, REFUSED, REVALIDATED, revalidate


def main() -> int:
    """Revalidate; return 1 if a result was refused or the arguments are wrong."""
    parser = make_parser(__doc__)
    parser.add_argument("--commit", help="commit that made the results; default: see each result")
    args = parser.parse_args()
    try:
        study, pairs = load_runs(args)
        planned = [(study.runs[run], seed) for run, seed in pairs]
        counts = revalidate(planned, partial(print, flush=True), args.commit)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{counts[REVALIDATED]} revalidated, {counts[REFUSED]} refused; "
        f"{counts[KEPT]} missing, current, or stale for other reasons (see status.py)"
    )
    return 1 if counts[REFUSED] else 0


if __name__ == "__main__":
    sys.exit(main())
