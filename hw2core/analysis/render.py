"""The report: a Jinja2 template in Markdown, filled from documents, as one HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jinja2
import pypandoc

from hw2core.analysis.report_context import build_context
from hw2core.analysis.tables import Document
from hw2core.analysis.wording import Experiment
from hw2core.atomic import write_text_atomically


class ReportError(RuntimeError):
    """The report cannot be built; the message says why in one line."""


def render_report(
    experiments: Sequence[Experiment],
    documents: Iterable[Document],
    figures: Mapping[str, Sequence[Path]],
    template: Path,
    output: Path,
    *,
    missing: Mapping[str, Sequence[str]],
) -> None:
    """Write the report as one HTML file that needs no other file and no network.

    The same documents, figures and template give the same bytes.

    Args:
        experiments: in the order of the sections; their sentences may hold Markdown.
        documents: the result documents.
        figures: per experiment its figure files; of one stem, SVG is preferred to PNG. A file
            that does not exist is named in the report.
        template: the Jinja2 template; ``style.css`` lies beside it.
        output: the HTML file.
        missing: per experiment the names of the runs without a result.

    Raises:
        ReportError: the template is wrong, or pandoc is not there or fails.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the output is Markdown
    )
    try:
        context = build_context(experiments, documents, figures, missing)
        markdown = environment.get_template(template.name).render(context)
    except jinja2.TemplateError as error:
        raise ReportError(f"{template}: {error}") from error
    write_text_atomically(output, _convert_to_html(markdown, template.with_name("style.css")))


def _convert_to_html(markdown: str, style: Path) -> str:
    arguments = [
        "--standalone",
        "--embed-resources",
        "--mathml",
        "--toc",
        "--toc-depth=2",
        f"--css={style.resolve().as_posix()}",
        "--columns=10000",  # no line of a table is long enough for pandoc to fix column widths
        "--fail-if-warnings",
    ]
    try:
        return str(
            pypandoc.convert_text(markdown, "html5", format="markdown", extra_args=arguments)
        )
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ReportError(f"pandoc could not build the report: {reason}") from error
