"""Writes the explore page: all runs in one file, chosen by pointing, which loads nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from hw2core.analysis.explore.data import describe_study
from hw2core.analysis.page import hash_source, write_theme
from hw2core.analysis.tables import Study
from hw2core.io import write_text_atomically
from hw2core.runs.paths import EXPLORE_SOURCES

if TYPE_CHECKING:
    from hw2core.data.prepared import PreparedData
    from hw2core.runs.unfinished import Unfinished

CHECKOUT = Path(__file__).parents[3]


def write_page(
    path: Path,
    study: Study,
    unfinished: Sequence[Unfinished] = (),
    prepared: Iterable[PreparedData] = (),
    stale: Mapping[tuple[str, int], str] = {},
) -> None:
    """Write the page; see ``describe_study``. The same values give the same bytes.

    Values enter the page as text of JSON in which no character can end or begin an element.
    """
    sources = [CHECKOUT / source for source in EXPLORE_SOURCES]
    page, style, script = (
        "".join(x.read_text(encoding="utf-8") for x in sources if x.suffix == suffix)
        for suffix in (".j2", ".css", ".js")
    )
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters["digest"] = hash_source
    text = environment.from_string(page).render(
        data=describe_study(study, unfinished, prepared, stale),
        style=style + write_theme(),
        script=script,
        missing=sum(map(len, study.missing.values())),
        stale=len(stale),
    )
    write_text_atomically(path, text)
