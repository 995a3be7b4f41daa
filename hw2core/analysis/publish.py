"""From the report's Markdown to its two files: a page that needs no other file, and a PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pypandoc
import typst

from hw2core.analysis.public_record import read_public_record
from hw2core.analysis.reference import read_reference
from hw2core.analysis.render import ReportError, ReportText
from hw2core.analysis.study_tables import StudyTables, build_tables
from hw2core.config.spec import Experiment
from hw2core.config.study import CHECKOUT
from hw2core.io import replace_atomically, write_text_atomically
from hw2core.runs.paths import (
    PUBLIC_RECORD,
    REPORT_PAPER,
    REPORT_STYLE,
    REPORT_TEMPLATE,
    locate_figure,
)
from hw2core.runs.schema import Result

# No line of a table is long enough for pandoc to fix the widths of its columns.
COMMON = ("--standalone", "--toc", "--toc-depth=2", "--columns=10000")


def publish_report(
    experiments: Sequence[Experiment],
    results: Iterable[Result],
    missing: Mapping[str, Sequence[str]],
    page: Path,
    pdf: Path,
    reference: Path | None = None,
) -> None:
    """Write the report of ``results`` as HTML and as PDF.

    Args:
        experiments: in the order of their sections.
        results: the existing ones.
        missing: per experiment the names of its runs without a result; they are named.
        page: the HTML file.
        pdf: the PDF.
        reference: table of the published results, to be shown beside these where it is there.

    Raises:
        ReportError: a template or ``reference`` is wrong, or pandoc or Typst fails.
    """
    tables = build_tables(results, read_public_record(CHECKOUT / PUBLIC_RECORD))
    if reference and reference.exists():
        try:
            tables = tables._replace(reference=read_reference(reference))
        except ValueError as error:
            raise ReportError(_one_line(error)) from error
    write_report(experiments, tables, missing, page, pdf)


def write_report(
    experiments: Sequence[Experiment],
    tables: StudyTables,
    missing: Mapping[str, Sequence[str]],
    page: Path,
    pdf: Path,
    locate_for_page: Callable[[str, str | None], str] = locate_figure,
) -> None:
    """Write the report of ``tables``; see ``publish_report``.

    The PDF has the SVG files of figures; ``locate_for_page`` may return others for the page.
    """
    template = CHECKOUT / REPORT_TEMPLATE
    text = ReportText(template.parent, experiments, tables, missing, locate_for_page)
    write_page(text.render(template.name, "page"), CHECKOUT / REPORT_STYLE, page)
    text.locate = locate_figure
    write_pdf(text.render(template.name, "paper"), CHECKOUT / REPORT_PAPER, pdf)


def write_page(markdown: str, style: Path, output: Path) -> None:
    """Write one HTML file with formulas as MathML, style and figures inside.

    Raises:
        ReportError: pandoc is not there or fails.
    """
    arguments = [
        *COMMON,
        "--embed-resources",
        "--mathml",
        f"--css={style.resolve().as_posix()}",
        "--fail-if-warnings",
    ]
    write_text_atomically(output, _convert(markdown, "html5", arguments))


def write_pdf(markdown: str, header: Path, output: Path) -> None:
    """Write the PDF, set by Typst with its own fonts.

    ``header`` holds Typst's show rules; beside it lie files of its name, the layout with the
    suffix ``.yaml`` and pandoc's filter with ``.lua``. The same text gives the same bytes: the
    file carries no date.

    Raises:
        ReportError: pandoc or Typst is not there or fails.
    """
    arguments = [
        *COMMON,
        f"--include-in-header={header.resolve().as_posix()}",
        f"--metadata-file={header.with_suffix('.yaml').resolve().as_posix()}",
        f"--lua-filter={header.with_suffix('.lua').resolve().as_posix()}",
    ]
    source = _convert(markdown, "typst", arguments)
    try:
        # Figures have absolute paths; Typst reads none outside of its root.
        compiled = typst.Compiler(root="/", ignore_system_fonts=True).compile(source.encode())
    except (RuntimeError, OSError) as error:
        raise ReportError(f"typst could not set the report: {_one_line(error)}") from error
    assert isinstance(compiled, bytes)
    with replace_atomically(output) as temporary:
        Path(temporary).write_bytes(compiled)


def _convert(markdown: str, target: str, arguments: list[str]) -> str:
    try:
        return str(pypandoc.convert_text(markdown, target, format="markdown", extra_args=arguments))
    except (RuntimeError, OSError) as error:
        raise ReportError(f"pandoc could not build the report: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
