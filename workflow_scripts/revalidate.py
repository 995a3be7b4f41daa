"""Let results that a refactoring made stale count as current, if tiny runs show no difference."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.config.reading import read_configs
from hw2core.config.study import load_study
from hw2core.errors import UserError
from hw2core.runs.revalidate import KEPT, REFUSED, REVALIDATED, revalidate


def main() -> int:
    """Revalidate; 1 when a result was refused, or the arguments are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="runs or experiments; none: all")
    parser.add_argument(
        "--configfile", nargs="+", default=["config.yaml"], help="as Snakemake is given them"
    )
    parser.add_argument("--directory", type=Path, default=Path(), help="where Snakemake worked")
    parser.add_argument("--commit", help="made the results; default: the commit that each names")
    args = parser.parse_args()
    try:
        study = load_study(read_configs(args.configfile), " + ".join(args.configfile))
        known = {*study.runs, *study.experiments}
        if unknown := [name for name in args.names if name not in known]:
            raise UserError(f"no run or experiment {', '.join(unknown)}")
        os.chdir(args.directory)
        pairs = [
            (study.runs[run], seed)
            for experiment in study.experiments.values()
            for run, seed in experiment.pairs()
            if not args.names or {run, experiment.name} & set(args.names)
        ]
        counts = revalidate(pairs, partial(print, flush=True), args.commit)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{counts[REVALIDATED]} revalidated, {counts[REFUSED]} refused; "
        f"{counts[KEPT]} missing, current, or stale for other reasons (see why_stale.py)"
    )
    return 1 if counts[REFUSED] else 0


if __name__ == "__main__":
    sys.exit(main())
