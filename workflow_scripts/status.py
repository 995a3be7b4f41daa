"""Report the state of each run (current, stale, running, failed, not trained) and the time left.

The exit status is 0 if all selected runs are current, 1 if some are not, and 2 if the
configuration, the folder or a name is wrong.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from selected_runs import load_runs, make_parser

from hw2core.errors import UserError
from hw2core.gpus import check_device
from hw2core.progress import look
from hw2core.runs.code_hash import forget_hashes
from hw2core.runs.paths import EXPLORE
from hw2core.runs.states import CURRENT, STATES, RunState

SECONDS_BETWEEN_LOOKS = 5.0
LOOK = (
    "To see the curves so far: snakemake explore, with the profile or options of your call; "
    f"then open {EXPLORE}"
)
COLOURS = dict(
    zip(STATES, ("cyan", "red", "magenta", "yellow", "default", "blue", "green"), strict=True)
)


def main() -> int:
    """Print a line per run and seed, and a summary; return the exit status."""
    parser = make_parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--watch", action="store_true", help="redraw until all is done or Ctrl-C")
    args = parser.parse_args()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `status.py | head` ends quietly
    start = Path.cwd()
    try:
        study, pairs = load_runs(args)
        check_device()
        if args.watch:
            return watch(args, start)
        states, summary = look(study, pairs, full=bool(args.names))
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    width = max(len(state.run) for state in states)
    for run, seed, state, detail, _ in states:
        print(f"{run:<{width}}  {seed:>2}  {state:<11}  {detail}".rstrip())
    print(summary)
    return int(not are_current(states))


def are_current(states: list[RunState]) -> bool:
    """Return whether all runs are current."""
    return all(state.state == CURRENT for state in states)


def watch(args: argparse.Namespace, start: Path) -> int:
    """Show the runs until all are current, those that are not current first.

    Configuration and code are read for each look, as they may be edited; ``start`` is the folder
    that paths in ``args`` are relative to.
    """
    try:
        from rich.console import Group
        from rich.live import Live
        from rich.table import Column, Table
        from rich.text import Text
    except ImportError:
        print("--watch needs the package rich: pip install rich", file=sys.stderr)
        return 2

    def draw(states: list[RunState], summary: str, height: int) -> Group:
        table = Table("run", "seed", "state", Column("", no_wrap=True), box=None)
        ordered = sorted(states, key=lambda state: STATES.index(state.state))
        for run, seed, state, detail, _ in ordered[: max(1, height - 4)]:
            table.add_row(run, str(seed), Text(state, COLOURS[state]), Text(detail))
        return Group(table, Text(summary), Text(LOOK))

    done = False
    with Live(auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while not done:
            forget_hashes()
            shown: Group | Text
            try:
                os.chdir(start)
                states, summary = look(*load_runs(args), full=False)
                shown, done = draw(states, summary, live.console.height), are_current(states)
            except (UserError, OSError) as error:  # such as a line that is half typed
                shown = Text(str(error))
            live.update(shown, refresh=True)
            if not done:
                time.sleep(SECONDS_BETWEEN_LOOKS)
    return int(not done)


if __name__ == "__main__":
    sys.exit(main())
