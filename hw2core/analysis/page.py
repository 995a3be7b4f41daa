"""Builds the report as one HTML page with inline figures, one script and no external resources."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import re
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pandas as pd

from hw2core.analysis import claims
from hw2core.analysis.compared import find_best_result
from hw2core.analysis.figures import describe
from hw2core.analysis.figures.style import DARK
from hw2core.analysis.text import DASH, format_change, format_number
from hw2core.errors import UserError
from hw2core.runs.paths import EXPLORE, FIGURE_KINDS, STUDY_FIGURES, locate_figure

if TYPE_CHECKING:
    from hw2core.analysis.report import Document
    from hw2core.analysis.tables import Study

PAGE = "page.html.j2"
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Allowed elements in a figure, and allowed targets of its references.
ELEMENTS = {"svg", "g", "defs", "clipPath", "path", "use", "rect", "image", "text", "title"}
LOCAL = re.compile(r"#|data:image/png;base64,")
IMAGE = re.compile(r'<img src="([^"]*)"(?: alt="([^"]*)")? />')
# The page's Content-Security-Policy forbids style attributes.
ALIGNED = re.compile(r'(<(?:th|td|mtd)\b[^>]*?) style="text-align: (left|right|center)\b[^"]*"')


class ReportError(UserError):
    """The report cannot be written; the message gives the reason in one line."""


def build_page(document: Document, body: str) -> str:
    """Return the page with ``body``, in which images have the names of ``document.figures``."""
    document.environment.filters |= {"show": show_cell, "digest": hash_source}
    return document.render(
        PAGE,
        body=_place_figures(document, ALIGNED.sub(r'\1 class="\2"', body)),
        theme=write_theme(),
        more_figures=list(_list_more_figures(document)),
        families=_list_families(document.study),
        explore=Path(EXPLORE).name,
    )


def inline_svg(path: Path, prefix: str, alt: str) -> str:
    """Return a figure as an inline SVG element.

    Only drawing elements are kept. Styles become attributes, so that the page's style can override
    them, and ids start with ``prefix`` to be unique in the page.

    Raises:
        ReportError: the file is damaged.
    """
    ElementTree.register_namespace("", SVG)
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ReportError(f"{path}: damaged ({error}); delete it and draw it again") from None
    _clean_element(root, prefix)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"class": "plot", "role": "img", "aria-label": alt}
    return ElementTree.tostring(root, encoding="unicode")


def _clean_element(element: ElementTree.Element, prefix: str) -> None:
    kept: dict[str, str] = {}
    for name, value in element.attrib.items():
        if name == "style":
            pairs = (pair.partition(":") for pair in value.split(";"))
            kept |= {key.strip(): text.strip() for key, _, text in pairs if key.strip()}
        elif name == "id":
            kept[name] = f"{prefix}-{value}"
        elif name in ("href", f"{{{XLINK}}}href"):
            if LOCAL.match(value):
                kept["href"] = re.sub("^#", f"#{prefix}-", value)
        elif not name.startswith("on"):
            kept[name] = value.replace("url(#", f"url(#{prefix}-")
    kept.pop("font-family", None)  # use the page's font
    element.attrib.clear()
    element.attrib |= kept
    for child in list(element):
        if isinstance(child.tag, str) and child.tag.removeprefix(f"{{{SVG}}}") in ELEMENTS:
            _clean_element(child, prefix)
        else:
            element.remove(child)


def _place_figures(document: Document, body: str) -> str:
    def place(image: re.Match[str]) -> str:
        name, alt = image.groups("")
        if name not in document.figures:  # not from a template, so from the text of a result
            return alt
        path = document.figures[name]
        svg = inline_svg(path, name.partition(".")[0], html.unescape(alt))
        return svg + link_figure(path, document.study)

    return IMAGE.sub(place, body)


def _list_more_figures(document: Document) -> Iterator[dict[str, str]]:
    """Yield the figures that are not in the text."""
    names = [experiment.name for experiment in document.study.experiments]
    kinds = [*itertools.product(FIGURE_KINDS, names), *((kind, None) for kind in STUDY_FIGURES)]
    shown = set(document.figures.values())
    for kind, experiment in kinds:
        path = Path(locate_figure(kind, experiment))
        if path in shown or not path.is_file():
            continue
        caption, alt = describe(kind, document.study, experiment)
        if alt:
            svg = inline_svg(path, f"more-{path.stem}", alt)
            yield {"svg": svg + link_figure(path, document.study), "caption": caption}


def link_figure(path: Path, study: Study) -> str:
    """Return a link to the explore page, with the runs that a figure shows selected."""
    shown = {
        locate_figure(kind, experiment.name): experiment.name
        for kind in FIGURE_KINDS
        for experiment in study.experiments
    }
    if best := find_best_result(study):
        shown |= {locate_figure(kind, None): best.name for kind in ("confusion", "mistakes")}
    address = f"{Path(EXPLORE).name}#{shown.get(path.as_posix(), '')}".removesuffix("#")
    return f'<p class="explore"><a href="{html.escape(address)}">Explore these runs</a></p>'


def _list_families(study: Study) -> dict[str, pd.DataFrame]:
    """Return a table of tested claims for each family."""
    judged = claims.judge(study)
    low, high = judged["low"].map(format_change), judged["high"].map(format_change)
    intervals = (low + " to " + high).mask(judged["low"].isna(), DASH)
    shown = pd.DataFrame(
        {
            "Claim": judged["claim"].str.replace("`", ""),
            "n": judged["n"],
            "Difference": judged["difference"].map(format_change),
            "95 % interval": intervals,
            "p (Holm)": judged["p_holm"].map("{:.2g}".format),
            "Verdict": judged["verdict"],
        }
    )
    return {str(family): rows for family, rows in shown.groupby(judged["family"], sort=False)}


def show_cell(value: object) -> str:
    """Return a table cell as text: integers with separators, floats with one decimal."""
    if value is None or value is pd.NA or value != value:
        return DASH
    if isinstance(value, float):
        return format_number(value)
    return f"{value:,}" if isinstance(value, Integral) else str(value)


def write_theme() -> str:
    """Return the style that gives each colour of a figure its counterpart on a dark page."""
    # Without .plot before it: what <use> repeats has no ancestors.
    return "\n".join(
        f'[{name}="{light}"] {{ {name}: light-dark({light}, {dark}); }}'
        for light, dark in DARK.items()
        for name in ("fill", "stroke")
    )


def hash_source(source: str) -> str:
    """Return the Content-Security-Policy hash of an inline style or script."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
