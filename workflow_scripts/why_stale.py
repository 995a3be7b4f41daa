"""Say of each run (or of those named) whether its results are current, and if not, why."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from hw2core.config_file import ConfigError, read_configs
from hw2core.staleness import explain_file
from hw2core.study import load_study


def main() -> int:
    """Print a line a training; 1 when the configuration, the folder or a name is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="runs or experiments; none: all")
    parser.add_argument(
        "--configfile", nargs="+", default=["config.yaml"], help="as Snakemake is given them"
    )
    parser.add_argument("--directory", type=Path, default=Path(), help="where Snakemake worked")
    args = parser.parse_args()
    try:
        study = load_study(read_configs(args.configfile), " + ".join(args.configfile))
        os.chdir(args.directory)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    known = {*study.runs, *study.experiments}
    if unknown := [name for name in args.names if name not in known]:
        print(f"no run or experiment {', '.join(unknown)}", file=sys.stderr)
        return 1
    for outline in study.outlines:
        for run, seed in outline.list_trainings():
            if not args.names or {run, outline.name} & set(args.names):
                reasons = explain_file(study.runs[run], seed)
                print(f"{run} seed {seed}: {'; '.join(reasons) or 'current'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
