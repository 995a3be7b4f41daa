"""Rules explore and explore_page: write the explore page of what is finished, and of what is not.

Runs that have no result yet are read from their checkpoints. Nothing is trained.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import use_checkout  # noqa: F401

from hw2core.analysis.explore import write_page
from hw2core.analysis.tables import load
from hw2core.config.reading import choose_config, list_configs, read_config, read_configs
from hw2core.config.study import CHECKOUT, STUDY_FILE, load_study
from hw2core.data.prepared import DataError, load_prepared
from hw2core.runs.log import run_job
from hw2core.runs.paths import COPIED_CONFIG, EXPLORE, manifest_path
from hw2core.runs.staleness import find_stale
from hw2core.runs.unfinished import find_unfinished


def main() -> int:
    """Write the page; 1 when a result cannot be read or the page cannot be written."""
    # The specs of unfinished runs are in no file but the configuration of the call.
    copied = CHECKOUT / COPIED_CONFIG
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--configfile", nargs="+", default=[], help="merged into config.yaml, as by Snakemake"
    )
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()

    def work(log: logging.Logger) -> str:
        files, asked_file = [str(copied)], STUDY_FILE  # of a call of Snakemake
        if not copied.exists():
            files = list_configs(args.configfile, default=STUDY_FILE)
            asked_file = choose_config(default=STUDY_FILE)
        study = load_study(read_configs(files), " + ".join(files))
        asked = load_study(read_config(asked_file) | {"study": {}}, str(asked_file))
        study = study.compare_sizes(asked)
        unfinished = find_unfinished(study, log)
        prepared = []
        for folder in {spec.data.folder: None for spec in study.runs.values()}:
            manifest = Path(manifest_path(folder))
            try:
                prepared += [load_prepared(manifest, verify=False)] if manifest.exists() else []
            except DataError as error:
                log.warning(f"no pictures: {error}")
        experiments = study.experiments.values()
        stale = find_stale(experiments)
        write_page(Path(EXPLORE), load(experiments), unfinished, prepared, stale)
        if stale:
            log.warning(f"stale results are marked ({len(stale)}); status.py gives all reasons")
        return f"wrote {EXPLORE}, with {len(unfinished)} unfinished"

    return run_job(work, "explore", args.log)


if __name__ == "__main__":
    sys.exit(main())
