"""A published report, and a browser to open pages in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from chromium import BROWSER, Chromium
from matplotlib.figure import Figure
from result_documents import Experiment, build_results

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
    results = build_results(seeds=(0,), epochs=3)
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


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Chromium]:
    """Headless Chromium, with the network off."""
    if BROWSER is None and "HW2_REQUIRE_CHROMIUM" not in os.environ:
        pytest.skip("there is no chromium")
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        no_network = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        browser.call("Network.emulateNetworkConditions", **no_network)
        yield browser
