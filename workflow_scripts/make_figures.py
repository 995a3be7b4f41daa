"""Rules experiment_figures, setting_figures and study_figures: draw figures of results."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import use_checkout  # noqa: F401
from json_options import add_experiments_option

from hw2core.analysis.compared import find_best_result
from hw2core.analysis.figures import draw_experiment, draw_study
from hw2core.analysis.tables import Study, load
from hw2core.config.spec import RunSpec
from hw2core.config.study import load_experiments
from hw2core.runs.log import run_job
from hw2core.runs.paths import manifest_path
from hw2core.runs.staleness import refuse_mixed_images, warn_of_stale


def find_manifest(study: Study) -> Path | None:
    """Return the manifest of the images of the best network: a figure shows some of them."""
    best = find_best_result(study)
    if best is None:
        return None
    return Path(manifest_path(RunSpec.from_config(best.config).data.folder))


def main() -> int:
    """Draw the figures; return 1 if a result cannot be read or a figure cannot be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_experiments_option(parser)
    parser.add_argument("--only", choices=["experiments", "study"], help="default: both kinds")
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()

    def work(log: logging.Logger) -> str:
        study = load(args.experiments or load_experiments())
        warn_of_stale(study.experiments, log)
        refuse_mixed_images(study.results)
        written = []
        if args.only != "study":
            written += [path for each in study.experiments for path in draw_experiment(study, each)]
        if args.only != "experiments":
            written += draw_study(study, find_manifest(study))
        return f"wrote {', '.join(written)}"

    return run_job(work, "figures", args.log)


if __name__ == "__main__":
    sys.exit(main())
