"""Rule prepare_data: read, download or generate the images and write them as arrays."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hw2core.atomic import WriteError
from hw2core.data.prepared import DataError
from hw2core.data.sources import prepare
from hw2core.progress import open_log
from hw2core.spec import DataSpec


def main() -> int:
    """Prepare the data; 1 when they cannot be had or written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="DataSpec as JSON")
    parser.add_argument("--root", default="", help="where CIFAR-10 lies; empty: see config.yaml")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    spec = DataSpec.model_validate_json(args.data)
    log = open_log(f"prepare {spec.folder}", args.log)
    try:
        if args.root:
            spec = spec.model_copy(update={"root": Path(args.root)})
        prepare(spec, args.manifest.parent)
    except (DataError, WriteError) as error:
        log.error(str(error))
        return 1
    log.info(f"wrote {args.manifest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
