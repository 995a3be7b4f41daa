"""The report's text: Jinja2 templates in Markdown, filled with what the results say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2

from hw2core.analysis.claims import Evidence, judge_claims
from hw2core.analysis.report_claims import ClaimsText, Target
from hw2core.analysis.report_context import build_context
from hw2core.analysis.report_figures import FigureBook
from hw2core.analysis.study_tables import StudyTables
from hw2core.config.spec import Experiment
from hw2core.errors import UserError

OTHER = "other"  # the text of an experiment that the report does not know


class ReportError(UserError):
    """The report cannot be built; the message says why in one line."""


class ReportText:
    """The report of one study as Markdown.

    The same study and templates give the same text.

    Args:
        folder: the templates, with ``captions/`` among them.
        experiments: in the order of their sections.
        tables: of the results.
        missing: per experiment the names of its runs without a result.
        locate: returns the SVG file of a kind of figure, and of its experiment if it has one.
    """

    def __init__(
        self,
        folder: Path,
        experiments: Sequence[Experiment],
        tables: StudyTables,
        missing: Mapping[str, Sequence[str]],
        locate: Callable[[str, str | None], str],
    ) -> None:
        self.folder = folder
        self.experiments = experiments
        self.tables = tables
        self.missing = missing
        self.locate = locate

    def render(self, template: str, target: Target) -> str:
        """Fill one template for one kind of reader.

        Raises:
            ReportError: the template is wrong.
        """
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self.folder),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,  # the blank line behind a paragraph that is included
            autoescape=False,  # the output is Markdown
            comment_start_string="<#",  # {# starts the name of a heading in Markdown
            comment_end_string="#>",
        )
        try:
            environment.globals["target"] = target
            macros: Any = environment.get_template("macros.md.j2").module
            environment.globals |= {name: getattr(macros, name) for name in ("left", "right")}
            environment.globals |= {"table": macros.table, **self._context}
            environment.globals |= self._speak(target)
            return environment.get_template(template).render()
        except (jinja2.TemplateError, KeyError) as error:
            raise ReportError(f"{self.folder / template}: {error}") from error

    @cached_property
    def _context(self) -> dict[str, Any]:
        known = {path.name.partition(".")[0] for path in self.folder.glob("experiments/*.j2")}
        absent = sorted(known - {OTHER} - {experiment.name for experiment in self.experiments})
        return {
            **build_context(self.experiments, self.tables, self.missing),
            "claims": judge_claims(
                Evidence(
                    self.tables.summary, self.tables.epochs, self.tables.layers, self.tables.record
                )
            ),
            "absent_experiments": absent,
        }

    def _speak(self, target: Target) -> dict[str, Any]:
        """Return the functions that templates call, fresh for each text: figures are counted."""
        claims = ClaimsText(self._context["claims"], target)
        sections = {section["name"]: section for section in self._context["experiments"]}
        figures = FigureBook(self.locate, self.folder / "captions", sections)
        return {
            "say": claims.say,
            "state": claims.decide,
            "tag": claims.tag,
            "states": claims.count_states(),
            "figure": figures.place,
            "figures_shown": figures.shown,
        }
