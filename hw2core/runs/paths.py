"""Defines the paths of all project files, relative to Snakemake's working directory.

The functions also build patterns for Snakemake: ``result_path("{run}", "{seed}")``.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

SUMMARY_TABLE = "results/summary.csv"
EPOCHS_TABLE = "results/epochs.csv"
REPORT = "report/report.html"
REPORT_PDF = "report/report.pdf"
EXPLORE = "report/explore.html"
REPORT_STYLE = "report/style.css"
_EXPLORE_FILES = ("page.html.j2", "page.css", "axes.js", "curves.js", "classes.js", "page.js")
EXPLORE_SOURCES = (REPORT_STYLE, *(f"hw2core/analysis/explore/{file}" for file in _EXPLORE_FILES))
REPORT_TEMPLATE = "report/report.md.j2"
REPORT_PAPER = "report/paper.typ"
BASELINES = "report/baselines.csv"
RATES = "search/README.md"  # how learning rates were chosen
# The published results of this study, and the files in their folder.
REFERENCE = "report/reference"
REFERENCE_TABLE = "summary.csv"
REFERENCE_RESULTS = "results.tar.gz"
REFERENCE_STUDY = "study.yaml"
REFERENCE_PICTURE = "explore.png"
REFERENCE_FIGURES = "figures"
REFERENCE_SUMS = "SHA256SUMS"
QUESTIONS_TABLE = "report/questions.csv"
CHANGES_TABLE = "report/changes.csv"
REPORT_FILES = (  # that the report needs besides what its template includes
    *(REPORT_TEMPLATE, REPORT_STYLE, REPORT_PAPER, BASELINES, QUESTIONS_TABLE, CHANGES_TABLE),
    *(f"report/{file}" for file in ("page.html.j2", "paper.yaml", "paper.lua")),
)
REPORT_SUFFIXES = (".j2", ".rst", ".css", ".typ", ".yaml", ".lua", ".csv")
FIGURE_STYLE = "hw2core/analysis/figures/style.mplstyle"
FIGURE_KINDS = ("curves", "settings")  # the second only of grids over settings
STUDY_FIGURES: tuple[str, ...] = (
    "key",
    "dots",
    "cost",
    "layers",
    "ablation",
    "confusion",
    "mistakes",
)
FIGURE_FORMATS = ("svg", "png")
# Copies of code and configuration that jobs have run from.
CODE_COPIES = ".snakemake/code"
COPIED_CONFIG = "copied_config.json"  # in a copy: the whole configuration
COPIED_COMMIT = "copied_commit.txt"  # in a copy: the commit of the checkout; empty outside of git
RESULT_GLOB = "seed*[0-9].json"  # in the folder of a run; evaluations do not match
EVALUATION_GLOB = "*.test.json"
OF_RUN = re.compile(
    r"results/[^/]+/seed[0-9]+\.(json|test\.json|safetensors"
    r"|checkpoint(\.previous|\.[0-9a-f]{8})?)"
)


def run_seed(run: str, seed: int | str) -> str:
    """Return the start of the paths of a run and seed, in the folder of results."""
    return f"{run}/seed{seed}"


def result_path(run: str, seed: int | str) -> str:
    """Return the path of the result of training a run with one seed."""
    return f"results/{run}/seed{seed}.json"


def evaluation_path(run: str, seed: int | str) -> str:
    """Return the path of the evaluation of a result's weights on the test images."""
    return f"results/{run}/seed{seed}.test.json"


def weights_path(run: str, seed: int | str) -> str:
    """Return the path of the weights of the epoch that was best on validation."""
    return f"results/{run}/seed{seed}.safetensors"


def checkpoint_path(result: Path) -> Path:
    """Return the path of the checkpoint of an unfinished run, next to its future result."""
    return result.with_suffix(".checkpoint")


def list_kept(checkpoint: Path) -> list[Path]:
    """Return the checkpoints that were set aside for a run with other settings."""
    return sorted(checkpoint.parent.glob(f"{glob.escape(checkpoint.name)}.{'[0-9a-f]' * 8}"))


def flat_result_path(out_dir: str, run: str) -> str:
    """Return the path of a result of the course's ``run_experiment``: one file, no folder."""
    return f"{out_dir}/{run}.json"


def is_of_run(path: str) -> bool:
    """Return whether this is where a file of a run belongs: a result, weights or a checkpoint."""
    return OF_RUN.fullmatch(path) is not None


def log_path(rule: str, *parts: int | str) -> str:
    """Return the path of the log of one job."""
    return "/".join(["logs", rule, *map(str, parts)]) + ".log"


def figure_path(experiment: str, kind: str, suffix: str) -> str:
    """Return the path of a figure of an experiment, of one of FIGURE_KINDS and FIGURE_FORMATS."""
    return f"figures/{experiment}_{kind}.{suffix}"


def figure_kinds(settings: object) -> tuple[str, ...]:
    """Return the kinds of figures of an experiment whose grids vary ``settings``, if any."""
    return FIGURE_KINDS if settings else FIGURE_KINDS[:1]


def figure_paths(experiment: str, settings: object = ()) -> list[str]:
    """Return the paths of all figures of an experiment in all formats; see ``figure_kinds``."""
    kinds = figure_kinds(settings)
    return [figure_path(experiment, kind, suffix) for kind in kinds for suffix in FIGURE_FORMATS]


def study_figure_path(kind: str, suffix: str) -> str:
    """Return the path of a figure over all experiments, of one of STUDY_FIGURES."""
    return figure_path("study", kind, suffix)


def study_figure_paths() -> list[str]:
    """Return the paths of all figures over all experiments in all formats."""
    return [study_figure_path(k, s) for k in STUDY_FIGURES for s in FIGURE_FORMATS]


def locate_figure(kind: str, experiment: str | None) -> str:
    """Return the path of the SVG of a figure, of one experiment or over all (None)."""
    return figure_path(experiment, kind, "svg") if experiment else study_figure_path(kind, "svg")


def reference_path(file: str) -> str:
    """Return the path of one file of the published results."""
    return f"{REFERENCE}/{file}"


def list_below(folder: Path) -> list[Path]:
    """Return what is in a folder and, other than ``rglob``, in folders that are linked there.

    Hidden files and folders, which a killed writer may have left, are skipped.
    """
    names = glob.glob("**", root_dir=folder, recursive=True)  # noqa: PTH207
    return [folder / name for name in names]


def list_report_sources(checkout: Path) -> list[Path]:
    """Return the files that the report is made from, besides results and figures.

    Of the published results, only the table is among them.
    """
    folder = (checkout / REPORT_TEMPLATE).parent
    reference = checkout / REFERENCE
    templates = sorted(
        path
        for path in list_below(folder)
        if path.suffix in REPORT_SUFFIXES
        and (reference not in path.parents or path == reference / REFERENCE_TABLE)
    )
    return [*templates, checkout / RATES]


def manifest_path(data_folder: str) -> str:
    """Return the path of the manifest of a prepared data set, which is written last."""
    return array_path(data_folder, "manifest.json")


def array_path(data_folder: str, file: str) -> str:
    """Return the path of one file of a prepared data set."""
    return f"data/{data_folder}/{file}"
