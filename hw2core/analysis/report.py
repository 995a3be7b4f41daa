"""Writes the report of a study as one HTML page and a PDF, from Markdown templates."""

from __future__ import annotations

import locale
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
import pandas as pd
import pypandoc
import typst

from hw2core.analysis import claims, figures, findings, provenance, text
from hw2core.analysis.course import keep_course
from hw2core.analysis.findings.core import FINDINGS
from hw2core.analysis.page import ReportError, build_page
from hw2core.analysis.reference import compare
from hw2core.analysis.report_files import check_report_files, make_environment, read_questions
from hw2core.analysis.tables import Study
from hw2core.data.registry import count_classes
from hw2core.io import make_temporary_folder, replace_atomically, write_text_atomically
from hw2core.runs.outcome import describe_status_rule
from hw2core.runs.paths import REPORT_PAPER, REPORT_TEMPLATE, locate_figure

CHECKOUT = Path(__file__).parents[2]
TEMPLATES = (CHECKOUT / REPORT_TEMPLATE).parent
PAPER = CHECKOUT / REPORT_PAPER  # with .yaml (layout, references) and .lua (a filter)
TITLE = "Depth, width and skip connections in small CNNs"

# Disables raw HTML, TeX and Typst in the text.
SAFE_MARKDOWN = (
    "markdown-raw_html-raw_tex-raw_attribute-native_divs-native_spans"
    "-markdown_in_html_blocks-yaml_metadata_block"
)
OPTIONS = (
    *("--sandbox", "--citeproc", "--fail-if-warnings", "--columns=10000"),
    f"--metadata-file={PAPER.with_suffix('.yaml')}",
    f"--lua-filter={PAPER.with_suffix('.lua')}",
)

# Experiments that the answers to the assignment use.
ANSWERED = {
    experiment
    for name, each in FINDINGS.items()
    if re.match(r"part\d_|public$", name)
    for experiment in (*each.needs, *each.uses)
}
MOST_NAMED = 3  # experiments in a title
FORMATS = {name: value for name, value in vars(text).items() if callable(value)}


class Document:
    """Renders templates for a study and collects the figures that they show.

    A ``plain`` document is Markdown without blocks for pandoc.
    """

    def __init__(self, study: Study, plain: bool = False) -> None:
        self.study = study
        self.plain = plain
        self.figures: dict[str, Path] = {}  # by their names in the Markdown
        self.environment = make_environment(TEMPLATES)
        self.environment.globals |= FORMATS
        course = keep_course(study)
        asked = {experiment.name for experiment in course.experiments} & ANSWERED
        names = study.runs["data"].unique() if len(study.runs) else ["cifar10"]
        self.environment.globals |= {
            "study": study,
            "course": course,
            "claims": claims,
            "findings": findings,
            "answer": self.answer,
            "figure": self.figure,
            "table": self.table,
            "title": title_study(study),
            "has_part_3": has_part_3(study),
            "FINDINGS": FINDINGS.keys() - ANSWERED,
            "QUESTIONS": read_questions(CHECKOUT) if has_course(study) else {},
            "provenance": provenance,
            "compare": compare,
            "status_rule": describe_status_rule(count_classes(name) for name in names),
            "others": [one for one in study.experiments if one.name not in asked],
        }

    def render(self, template: str, **variables: Any) -> str:
        """Render a template; raise ReportError if it is invalid."""
        with _explain(f"{TEMPLATES / template}", jinja2.TemplateError):
            return self.environment.get_template(template).render(variables)

    def answer(self, name: str) -> str:
        """Return the direct answer to a question as a separate block."""
        if name not in FINDINGS:
            raise ReportError(f"answer({name!r}): must be one of {', '.join(FINDINGS)}")
        sentences = findings.list_sentences(name, keep_course(self.study))
        if self.plain:
            return " ".join(sentences)
        sentences[:1] = [f"**{first}**" for first in sentences[:1]]
        return f"\n::: {{.answer}}\n{' '.join(sentences)}\n:::\n"

    def figure(self, kind: str, experiment: str | None = None, study: Study | None = None) -> str:
        """Return a figure of ``study``, by default of all, with number, caption and alternative.

        The result is empty if there is nothing to show; a missing file is named in the caption.
        """
        caption, alt = figures.describe(kind, study or self.study, experiment)
        if not alt:
            return ""
        path = Path(locate_figure(kind, experiment))
        number = len(self.figures) + 1
        caption = f"**Figure {number}.** {text.escape_markdown(caption)}"
        if self.plain:
            return f"![{caption}]({path.as_posix()})\n"
        if not path.is_file():
            return f"{caption} (`{path.as_posix()}` is missing.)\n"
        name = f"figure-{number}.svg"
        self.figures[name] = path
        return f'![{caption}]({name}){{#figure-{number} alt="{_quote(alt)}"}}\n'

    def table(self, frame: pd.DataFrame, label: str, **options: Any) -> str:
        """Return a table in a scrollable box with the accessible name ``label``.

        ``options`` are passed to ``markdown_table``.
        """
        if frame.empty:
            return ""
        markdown = text.markdown_table(frame, **options)
        if self.plain:
            return f"\n{markdown}\n"
        box = f'.scroll role="region" tabindex="0" aria-label="{_quote(label)}"'
        return f"\n::: {{{box}}}\n\n{markdown}\n\n:::\n"


def has_course(study: Study) -> bool:
    """Return whether an experiment of the assignment is planned; without one, no question is."""
    return not ANSWERED.isdisjoint(each.name for each in keep_course(study).experiments)


def has_part_3(study: Study) -> bool:
    """Return whether an experiment of the assignment with convolutional networks is planned."""
    names = {each.name for each in keep_course(study).experiments} & ANSWERED
    return any(not name.startswith("part2") for name in names)


def title_study(study: Study) -> str:
    """Return the title of the report."""
    names = [experiment.name for experiment in study.experiments]
    if has_part_3(study):
        return TITLE
    few = len(names) <= MOST_NAMED
    return f"Results of {text.join_words(names or ['no experiment']) if few else 'a study'}"


def publish(study: Study, page: Path, pdf: Path) -> None:
    """Write the report of a study, with the figures in the working folder.

    The same study, figures and templates give the same bytes.

    Raises:
        UserError: a template or a table of report/ is wrong, or pandoc or Typst fails.
    """
    check_report_files(CHECKOUT)
    document = Document(study)
    markdown = document.render(Path(REPORT_TEMPLATE).name)
    body = _convert(markdown, "html5", "--mathml", "--section-divs", "--shift-heading-level-by=1")
    write_text_atomically(page, build_page(document, body))
    write_pdf(markdown, document.figures, pdf, title_study(study))


def render_answer(name: str, study: Study) -> str:
    """Return the answer to a question of the assignment as Markdown."""
    return Document(study, plain=True).render(f"answers/{name}.md.j2").strip()


def write_pdf(markdown: str, shown: dict[str, Path], output: Path, title: str = TITLE) -> None:
    """Write the PDF with Typst, which uses the figures' fonts and can read only the figures."""
    options = "--standalone", f"--metadata=title:{title}", f"--include-in-header={PAPER}"
    source = _convert(markdown, "typst", *options)
    fonts = Path(mpl.get_data_path(), "fonts", "ttf")
    with (
        _explain("typst could not set the report", RuntimeError, OSError),
        make_temporary_folder(output) as root,
    ):
        for name, path in shown.items():
            shutil.copyfile(path, root / name)
        compiler = typst.Compiler(root=root, font_paths=[fonts], ignore_system_fonts=True)
        compiled = compiler.compile(source.encode())
    assert isinstance(compiled, bytes)
    with replace_atomically(output) as temporary:
        temporary.write_bytes(compiled)


def _convert(markdown: str, target: str, *options: str) -> str:
    extra = [*OPTIONS, *options]
    if locale.getencoding().upper() != "UTF-8":
        os.environ["LC_ALL"] = "C.UTF-8"  # pandoc opens no file with other letters in its path
    with _explain("pandoc could not build the report", RuntimeError, OSError):
        return str(pypandoc.convert_text(markdown, target, format=SAFE_MARKDOWN, extra_args=extra))


def _quote(value: str) -> str:
    """Return text escaped as an attribute value in Markdown, on one line."""
    return re.sub(r'([\\"])', r"\\\1", " ".join(value.split()))


@contextmanager
def _explain(failure: str, *errors: type[Exception]) -> Iterator[None]:
    """Convert ``errors`` to a one-line ReportError."""
    try:
        yield
    except errors as error:
        raise ReportError(f"{failure}: {' '.join(str(error).split())}") from error
