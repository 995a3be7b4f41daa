"""The figures of the report: numbered where they stand, with caption and alternative text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class ShownFigure(NamedTuple):
    """A figure that the report shows: its number, and its file relative to the study's folder."""

    number: int
    target: str


class FigureBook:
    """Places figures and numbers them in the order in which they are asked for.

    Args:
        locate: returns the SVG file of a kind of figure, and of its experiment if it has one.
        captions: folder of ``<kind>.rst``, which Snakemake's own report uses too.
        evidence: what to say of seeds and data behind the figures of an experiment; those over
            the study say it themselves.
        outcome: what the runs of an experiment did, for those who cannot see the figure.
    """

    def __init__(
        self,
        locate: Callable[[str, str | None], str],
        captions: Path,
        evidence: Callable[[str], str],
        outcome: Callable[[str | None], str],
    ) -> None:
        self.locate = locate
        self.captions = captions
        self.evidence = evidence
        self.outcome = outcome
        self.shown: list[ShownFigure] = []

    def place(self, kind: str, experiment: str | None = None) -> str:
        """Return a figure as Markdown; one that has no file is named."""
        number = len(self.shown) + 1
        target = self.locate(kind, experiment)
        self.shown.append(ShownFigure(number, target))
        if not Path(target).is_file():
            return f"Figure {number} (`{Path(target).stem}`) has not been drawn.\n"
        caption = self.captions.joinpath(f"{kind}.rst").read_text(encoding="utf-8")
        caption = " ".join(caption.split())
        if experiment:
            caption += f" {self.evidence(experiment)}"
        subject = f"{experiment}: " if experiment else ""
        alt = f"{subject}{caption} {self.outcome(experiment)}".replace('"', "'").replace("`", "")
        path = Path(target).resolve().as_posix()
        return f'![**Figure {number}.** {caption}](<{path}>){{alt="{alt}"}}\n'
