"""Report for each run (or for those named) whether its results are current, and if not, why."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.config.reading import read_configs
from hw2core.config.study import load_study
from hw2core.errors import UserError
from hw2core.runs.staleness import explain_evaluation, explain_result


def main() -> int:
    """Print a line per run and seed; 1 when the configuration, the folder or a name is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="runs or experiments; none: all")
    parser.add_argument(
        "--configfile", nargs="+", default=["config.yaml"], help="as Snakemake is given them"
    )
    parser.add_argument("--directory", type=Path, default=Path(), help="where Snakemake worked")
    args = parser.parse_args()
    try:
        study = load_study(read_configs(args.configfile), " + ".join(args.configfile))
        known = {*study.runs, *study.experiments}
        if unknown := [name for name in args.names if name not in known]:
            raise UserError(f"no run or experiment {', '.join(unknown)}")
        os.chdir(args.directory)
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for experiment in study.experiments.values():
        for run, seed in experiment.pairs():
            if not args.names or {run, experiment.name} & set(args.names):
                spec = study.runs[run]
                reasons = explain_result(spec, seed) or explain_evaluation(spec, seed)
                print(f"{run} seed {seed}: {'; '.join(reasons) or 'current'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
