"""Rule prepare_data: read, download or generate the images and write them as arrays."""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

import use_checkout  # noqa: F401
from json_options import parse_json

from hw2core.config.images import DataSpec
from hw2core.runs.images import prepare_images
from hw2core.runs.log import run_job


def main() -> int:
    """Prepare the images; return 1 if they cannot be read, downloaded or written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=partial(parse_json, DataSpec), required=True, help="as JSON")
    parser.add_argument("--root", default="", help="folder of the original files")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    spec: DataSpec = args.data
    if args.root:
        spec = spec.model_copy(update={"root": Path(args.root)})

    def work(log: logging.Logger) -> str:
        return f"wrote {prepare_images(spec, args.manifest.parent)}"

    return run_job(work, f"prepare {spec.folder}", args.log)


if __name__ == "__main__":
    sys.exit(main())
