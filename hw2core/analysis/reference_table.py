"""What the project's README says of the published record: a figure and a table of experiments."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from hw2core.analysis.looks import FAMILIES, select_nets, sort_facets
from hw2core.analysis.tables import aggregate_runs, iterate_rows
from hw2core.analysis.wording import (
    REDUCED,
    count,
    describe_evidence,
    format_number,
    format_range,
)
from hw2core.runs.paths import (
    REFERENCE_FIGURES,
    REFERENCE_README,
    reference_path,
    study_figure_path,
)

BEGIN = "<!-- results: what stands here is written by workflow_scripts/publish_reference.py -->"
END = "<!-- end of results -->"
FIGURE = study_figure_path("public_record", "png").replace("figures", REFERENCE_FIGURES, 1)
HEAD = (
    *("Experiment", "Networks", "Runs that trained", "Best run", "Test accuracy (%)"),
    *("Public median, best (%)", "Epochs, training images"),
)


def write_block(reference: pd.DataFrame, record: pd.DataFrame) -> str:
    """Return the Markdown between ``BEGIN`` and ``END``.

    Args:
        reference: the published results, of ``read_reference``.
        record: what public solutions reached, of ``read_public_record``.
    """
    warning = "\n\n**This record is a reduced one.** The study asks for more."
    lines = [
        f"{describe_evidence(reference)}{warning if is_reduced(reference) else ''}",
        "",
        "![Test accuracy of every run beside the range and median of public solutions]"
        f"({reference_path(FIGURE)})",
        "",
        f"| {' | '.join(HEAD)} |",
        "|:--|:--|--:|:--|--:|--:|--:|",
        *(f"| {' | '.join(row)} |" for row in _list_rows(reference, record)),
        "",
        "A run trained if all its seeds did. The best run is the one that validation ranks first;"
        " its test accuracy is the mean [lowest, highest] of its seeds. Public solutions of the"
        " same exercise had one seed, and mostly chose their epoch on the test images.",
        "",
        f"[The whole record]({reference_path(REFERENCE_README)}): report, every run, machine,"
        " versions and commands.",
    ]
    return "\n".join(lines)


def is_reduced(reference: pd.DataFrame) -> bool:
    """Whether some training of the record has less of anything than the study asks for."""
    return bool((reference[REDUCED] != "").any())


def replace_block(text: str, block: str) -> str:
    """Return ``text`` with ``block`` between the two markers.

    Raises:
        ValueError: the markers do not stand there once each, in order.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"no place for the results: it lies between {BEGIN!r} and {END!r}")
    return pattern.sub(lambda _: f"{BEGIN}\n{block}\n{END}", text)


def read_block(text: str) -> str:
    """Return what stands between the markers."""
    return text.partition(f"{BEGIN}\n")[2].partition(f"\n{END}")[0]


def _list_rows(reference: pd.DataFrame, record: pd.DataFrame) -> list[tuple[str, ...]]:
    runs = aggregate_runs(reference)
    public = record.set_index("run")
    rows = []
    for experiment, own in runs.groupby("experiment", sort=False):
        whole = int((own["trained"] == own["seeds"]).sum())
        row = (str(experiment), _describe_networks(own), f"{whole} of {len(own)}")
        able = own[own["trained"] > 0].nlargest(1, "validation_accuracy_mean")
        if able.empty:
            rows.append((*row, *["–"] * (len(HEAD) - len(row))))
            continue
        best: Any = next(iterate_rows(able))
        accuracy = format_range(
            best.test_accuracy_mean, best.test_accuracy_min, best.test_accuracy_max
        )
        there = best.run in public.index
        beside = [public.loc[best.run, name] for name in ("median", "highest")] if there else []
        rows.append(
            (
                *row,
                f"`{best.run}`",
                accuracy,
                ", ".join(map(format_number, beside)) or "–",
                _describe_scale(reference[reference["run"] == best.run]),
            )
        )
    return rows


def _describe_networks(runs: pd.DataFrame) -> str:
    """Return the kinds of networks of an experiment, with their depths and widths."""
    names = [FAMILIES[model][0] if model in FAMILIES else model for model in runs["model"]]
    kinds = ", ".join(dict.fromkeys(names))
    nets = select_nets(runs)
    if nets.empty:
        return kinds
    depths = sorted(set(nets["depth"]))
    span = str(depths[0]) if len(depths) == 1 else f"{depths[0]}–{depths[-1]}"
    return f"{kinds}; L {span}; K {', '.join(sort_facets(nets['widths']))}"


def _describe_scale(seeds: pd.DataFrame) -> str:
    """Return the epochs and training images of one run."""
    first: Any = next(iterate_rows(seeds))
    text = f"{count(first.epochs)}, {count(first.train_images)}"
    return f"{text} (reduced)" if is_reduced(seeds) else text
