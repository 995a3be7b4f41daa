"""Publish the results: copy them to report/reference/ and write the README's table."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.analysis.publish import check_plan, publish
from hw2core.config.study import STUDY_FILE
from hw2core.errors import UserError
from hw2core.runs.images import fix_root


def main() -> int:
    """Publish; return 1 if the results are not those of the study or a file cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--configfile",
        type=Path,
        nargs="+",
        default=[STUDY_FILE],
        help="config.yaml, and the file merged over it, if any",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[], help="default: as configured")
    parser.add_argument("--directory", type=Path, default=Path(), help="as passed to Snakemake")
    parser.add_argument("--picture", type=Path, help="of the explore page, for the README")
    args = parser.parse_args()
    if len(args.configfile) > 2:
        parser.error("--configfile: at most one file can be merged over the first")
    configs = [path.resolve() for path in args.configfile]
    picture = args.picture and args.picture.resolve()
    try:
        fix_root(Path.cwd())
        os.chdir(args.directory)
        check_plan(configs, args.seeds)
        print(f"wrote {publish(configs, args.seeds, picture=picture)} and the table in README.md")
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
