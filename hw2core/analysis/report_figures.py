"""The figures of the report: numbered where they stand, with caption and alternative text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class ShownFigure(NamedTuple):
    """A figure that the report shows: its number, and its file relative to the study's folder."""

    number: int
    target: str


class FigureBook:
    """Places figures and numbers them in the order in which they are asked for.

    Args:
        locate: returns the SVG file of a kind of figure, and of its experiment if it has one.
        captions: folder of ``<kind>.rst``, which Snakemake's own report uses too.
        sections: what the report says of each experiment, by name: ``evidence`` (seeds and data)
            and ``outcome``, for those who cannot see the figure.
    """

    def __init__(
        self,
        locate: Callable[[str, str | None], str],
        captions: Path,
        sections: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.locate = locate
        self.captions = captions
        self.sections = sections
        self.shown: list[ShownFigure] = []

    def place(self, kind: str, experiment: str | None = None) -> str:
        """Return a figure as Markdown; one that has no file is named."""
        number = len(self.shown) + 1
        target = self.locate(kind, experiment)
        self.shown.append(ShownFigure(number, target))
        if not Path(target).is_file():
            return f"Figure {number} (`{Path(target).stem}`) has not been drawn.\n"
        caption = self.captions.joinpath(f"{kind}.rst").read_text(encoding="utf-8")
        caption = alt = " ".join(caption.split())
        if experiment:  # those over the study say their evidence themselves
            section = self.sections[experiment]
            caption += f" {section['evidence']}"
            alt = f"{experiment}: {caption} {section['outcome']}"
        alt = f"{alt} The tables hold the numbers.".replace('"', "'").replace("`", "")
        path = Path(target).resolve().as_posix()
        return f'![**Figure {number}.** {caption}](<{path}>){{alt="{alt}"}}\n'
