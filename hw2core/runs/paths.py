"""Paths of all project files, relative to the folder that Snakemake works in.

The functions make Snakemake's patterns too: ``result_path("{run}", "{seed}")``.
"""

from __future__ import annotations

from pathlib import Path

SUMMARY_TABLE = "results/summary.csv"
EPOCHS_TABLE = "results/epochs.csv"
REPORT = "report/report.html"
REPORT_PDF = "report/report.pdf"
REPORT_TEMPLATE = "report/report.md.j2"
REPORT_PAPER = "report/paper.typ"
BASELINES = "report/baselines.csv"
RATES = "search/README.md"  # how learning rates were chosen
# The published results of this study, and the files in them.
REFERENCE = "report/reference"
REFERENCE_TABLE = "summary.csv"
REFERENCE_RESULTS = "results.tar.gz"
REFERENCE_STUDY = "study.yaml"
REFERENCE_FIGURES = "figures"
REFERENCE_SUMS = "SHA256SUMS"
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
# Copies of code and configuration, one for each state of them that jobs have run from.
CODE_COPIES = ".snakemake/code"
COPIED_CONFIG = "copied_config.json"  # in a copy: the whole configuration
COPIED_COMMIT = "copied_commit.txt"  # in a copy: the commit of the checkout; empty outside of git
RESULT_GLOB = "seed*[0-9].json"  # in the folder of a run; evaluations do not match


def run_seed(run: str, seed: int | str) -> str:
    """Beginning of the paths of a run and seed, in the folder of results."""
    return f"{run}/seed{seed}"


def result_path(run: str, seed: int | str) -> str:
    """Result of training a run with one seed."""
    return f"results/{run}/seed{seed}.json"


def evaluation_path(run: str, seed: int | str) -> str:
    """Evaluation of a result's weights on the test images."""
    return f"results/{run}/seed{seed}.test.json"


def weights_path(run: str, seed: int | str) -> str:
    """Weights of the epoch that validation chose."""
    return f"results/{run}/seed{seed}.safetensors"


def checkpoint_path(result: Path) -> Path:
    """Checkpoint of a run that is not done, next to the result it will have."""
    return result.with_suffix(".checkpoint")


def flat_result_path(out_dir: str, run: str) -> str:
    """Result of the course's ``run_experiment``: one file, no folder."""
    return f"{out_dir}/{run}.json"


def log_path(rule: str, *parts: int | str) -> str:
    """Log of one job."""
    return "/".join(["logs", rule, *map(str, parts)]) + ".log"


def figure_path(experiment: str, kind: str, suffix: str) -> str:
    """One figure of an experiment; ``kind`` in FIGURE_KINDS, ``suffix`` in FIGURE_FORMATS."""
    return f"figures/{experiment}_{kind}.{suffix}"


def figure_kinds(settings: object) -> tuple[str, ...]:
    """Kinds of the figures of an experiment whose grids vary ``settings``, if it has any."""
    return FIGURE_KINDS if settings else FIGURE_KINDS[:1]


def figure_paths(experiment: str, settings: object = ()) -> list[str]:
    """All figures of an experiment in all formats; for ``settings`` see ``figure_kinds``."""
    kinds = figure_kinds(settings)
    return [figure_path(experiment, kind, suffix) for kind in kinds for suffix in FIGURE_FORMATS]


def study_figure_path(kind: str, suffix: str) -> str:
    """One figure over all experiments; ``kind`` in STUDY_FIGURES."""
    return figure_path("study", kind, suffix)


def study_figure_paths() -> list[str]:
    """All figures over all experiments in all formats."""
    return [study_figure_path(k, s) for k in STUDY_FIGURES for s in FIGURE_FORMATS]


def locate_figure(kind: str, experiment: str | None) -> str:
    """The SVG file of a figure, of an experiment or over all (None)."""
    return figure_path(experiment, kind, "svg") if experiment else study_figure_path(kind, "svg")


def reference_path(file: str) -> str:
    """One file of the published record."""
    return f"{REFERENCE}/{file}"


def list_report_sources(checkout: Path) -> list[Path]:
    """What the report is made from besides results and figures.

    Of the published results that is the table: the rest is made from results. Hidden folders are
    what a killed writer left.
    """
    folder = (checkout / REPORT_TEMPLATE).parent
    reference = checkout / REFERENCE
    templates = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in REPORT_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and (reference not in path.parents or path == reference / REFERENCE_TABLE)
    )
    return [*templates, checkout / RATES]


def manifest_path(data_folder: str) -> str:
    """Manifest of a prepared data set; it is written last, after the arrays."""
    return array_path(data_folder, "manifest.json")


def array_path(data_folder: str, file: str) -> str:
    """One file of a prepared data set."""
    return f"data/{data_folder}/{file}"
