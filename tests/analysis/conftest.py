"""A published report, which several files test."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from matplotlib.figure import Figure
from result_documents import Experiment, build_study

from hw2core.analysis.figures.style import FAMILIES, use_style
from hw2core.analysis.report import publish
from hw2core.analysis.tables import Study, build
from hw2core.runs.paths import locate_figure


class Published(NamedTuple):
    """The report of a study, in a folder with its figures."""

    study: Study
    folder: Path
    page: Path
    pdf: Path


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Published:
    """The report of the whole study: the curves of each experiment and the key figure are there."""
    results = build_study(seeds=(0,), epochs=3)
    names = dict.fromkeys(result.experiment for result in results)
    study = build([Experiment(name, fixed="wide" * 90) for name in names], results)
    folder = tmp_path_factory.mktemp("published")
    report = Published(study, folder, folder / "report.html", folder / "report.pdf")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(report.folder)
        for kind, experiment in [("key", None), *(("curves", name) for name in names)]:
            draw_something(Path(locate_figure(kind, experiment)))
        publish(study, report.page, report.pdf)
    return report


def draw_something(path: Path) -> None:
    """Draw a figure in the colours of the study."""
    with use_style():
        figure = Figure(figsize=(5.4, 3))
        axes = figure.add_subplot()
        for colour in FAMILIES.values():
            axes.plot([1, 2, 3], [3, 2, 2], "o-", color=colour)
        axes.set_xlabel("a label & <more>")
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path)
