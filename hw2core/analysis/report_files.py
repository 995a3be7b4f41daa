"""Checks the files in report/ that people edit, before the jobs that read them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta, nodes

from hw2core.config.networks import MODELS
from hw2core.config.schema import RecipeSpec
from hw2core.errors import UserError, make_line
from hw2core.io import check_exist
from hw2core.runs import paths

Row = dict[str, str]

QUESTION_COLUMNS = ("name", "title", "asked")
CHANGE_COLUMNS = ("what", "why", "source", "without", "setting")
BASELINE_COLUMNS = ("run", "solutions", "at_chance_share", "median", "lowest", "highest")
MAY_BE_EMPTY = {"source", "without", "setting"}
ASKED = 'include "answers/" ~'  # in the template: the answer to each question
# The text of a template, not of results: figures come from calls.
PICTURE = re.compile(r"(?<![\\`])!\[(?!\^).*|<img\b.*")


def check_report_files(checkout: Path) -> None:
    """Check the files that the report needs.

    Raises:
        UserError: one is missing, a row of a table is wrong, or a template is not valid, shows a
            figure that there is not, or has a picture of its own, which the page would leave out.
    """
    for path in list_needed(checkout):
        check_exist([path])
    read_changes(checkout)


def list_needed(checkout: Path) -> Iterator[Path]:
    """Yield the files that the report needs; reads a template when it has yielded its path.

    The last are the templates that report.md.j2 includes, and those of the questions in
    questions.csv if it includes answers.

    Raises:
        UserError: as ``check_report_files``.
    """
    yield from (checkout / file for file in paths.REPORT_FILES)
    template = checkout / paths.REPORT_TEMPLATE
    environment = make_environment(template.parent)
    waiting = [template.name]
    for name in waiting:  # grows
        path = template.parent / name
        if name != template.name:
            yield path
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        waiting += sorted(_check_template(path, text, environment) - set(waiting))
        if ASKED in text:
            waiting += [f"answers/{question}.md.j2" for question in read_questions(checkout)]


def make_environment(folder: Path) -> jinja2.Environment:
    """Return the environment of the templates in a folder."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,  # keeps the blank line after an included paragraph
        autoescape=jinja2.select_autoescape(["html.j2"]),
        comment_start_string="<#",  # in Markdown, {# starts the id of a heading
        comment_end_string="#>",
    )


def _check_template(path: Path, text: str, environment: jinja2.Environment) -> set[str]:
    """Return the names of the templates that a template includes."""
    line = 0
    try:
        tree = environment.parse(text, filename=str(path))
        if found := PICTURE.search(text):
            line = text.count("\n", 0, found.start()) + 1
            allowed = 'only figures of the study can be shown, as {{ figure("key") }}'
            raise ValueError(f"{found[0]!r}: {allowed}")
        for call in tree.find_all(nodes.Call):
            line, (shown, *others) = call.lineno, [*call.args, None]
            if getattr(call.node, "name", "") == "figure" and isinstance(shown, nodes.Const):
                kinds = paths.FIGURE_KINDS if len(others) > 1 else paths.STUDY_FIGURES
                if shown.value not in kinds:
                    raise ValueError(f"figure {shown.value!r}: must be one of {', '.join(kinds)}")
    except jinja2.TemplateSyntaxError as error:
        raise UserError(make_line(f"{path}: line {error.lineno}: {error.message}")) from None
    except ValueError as error:
        raise UserError(make_line(f"{path}: line {line}: {error}")) from None
    return {name for name in meta.find_referenced_templates(tree) if name}


def read_questions(checkout: Path) -> dict[str, Row]:
    """Return the questions of the assignment by their names.

    Raises:
        UserError: a row of the table is wrong.
    """
    path = checkout / paths.QUESTIONS_TABLE
    rows = read_rows(path, QUESTION_COLUMNS)
    for line, row in rows.items():
        if not re.fullmatch("part[123]_q[1-9][0-9]*", row["name"]):
            rule = "must be part1_q1, part3_q7 or the like, of part 1, 2 or 3"
            raise UserError(make_line(f"{path}: line {line}: name: {row['name']!r}: {rule}"))
    return {row["name"]: row for row in rows.values()}


def read_changes(checkout: Path) -> list[Row]:
    """Return the changes in the network and recipe of experiment 2.

    Raises:
        UserError: a row of the table is wrong, or no run can have its setting.
    """
    path = checkout / paths.CHANGES_TABLE
    rows = read_rows(path, CHANGE_COLUMNS)
    shapes = [model.architecture.model_fields for model in MODELS.values()]
    keys = {"training": {*RecipeSpec.model_fields}, "architecture": {*chain(*shapes)}}
    for line, row in rows.items():
        key = row["setting"].partition("=")[0]
        section, _, name = key.partition(".")
        if key and name not in keys.get(section, ()):
            allowed = [f"{section}.{x}" for x in sorted(keys.get(section, ()))]
            rule = f"must be {', '.join(allowed) or 'training.KEY or architecture.KEY'}"
            raise UserError(make_line(f"{path}: line {line}: setting: {key!r}: {rule}"))
    return list(rows.values())


def read_baselines(path: Path) -> list[dict[str, Any]]:
    """Return the accuracies of public solutions of runs.

    Raises:
        UserError: a row of the table is wrong.
    """
    rows = []
    for line, row in read_rows(path, BASELINE_COLUMNS).items():
        run, *texts = (row[column] for column in BASELINE_COLUMNS)
        try:
            solutions, (share, median, low, high) = int(texts[0]), map(float, texts[1:])
            right = solutions > 0 and 0 <= share <= 1 and 0 <= low <= median <= high <= 100
        except ValueError:
            right = False
        if not right:
            rule = "must be a whole number, a share from 0 to 1, and percentages with "
            rule += "lowest <= median <= highest"
            raise UserError(make_line(f"{path}: line {line}: {run}: {', '.join(texts)}: {rule}"))
        values = run, solutions, share, median, low, high
        rows.append(dict(zip(BASELINE_COLUMNS, values, strict=True)))
    return rows


def read_rows(path: Path, columns: Sequence[str]) -> dict[int, Row]:
    """Read a table that people edit, perhaps with a spreadsheet; return its rows by line.

    Lines that start with # are comments. Rows differ in the first of ``columns``. Spreadsheets mark
    the start of the file, put comments in quotes and add empty values: these are left out.

    Raises:
        UserError: the file cannot be read, it has other columns, or a row has too many or too few
            values, an empty one, or the first value of another.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeError) as error:
        raise UserError(make_line(f"{path}: cannot be read ({error}); must be UTF-8")) from None
    # Comments become empty lines, so that lines keep their numbers.
    kept = (f"{line}\n" if line.lstrip('"')[:1] != "#" else "\n" for line in lines)
    reader = csv.reader(kept, skipinitialspace=True, strict=True)
    header: list[str] = []
    rows: dict[int, Row] = {}
    try:
        for read in reader:
            values = [" ".join(value.split()) for value in read]
            while len(values) > len(columns) and not values[-1]:
                values.pop()
            if header and any(values):
                rows[reader.line_num] = _name_values(values, header, columns, rows)
            elif any(values):
                header = values
                if sorted(header) != sorted(columns):
                    raise ValueError(f"{','.join(header)!r}: must be {','.join(columns)}")
    except (ValueError, csv.Error) as error:
        raise UserError(make_line(f"{path}: line {reader.line_num}: {error}")) from None
    if not header:
        raise UserError(f"{path}: empty; must begin with {','.join(columns)}")
    return rows


def _name_values(
    values: list[str], header: list[str], columns: Sequence[str], others: dict[int, Row]
) -> Row:
    if len(values) != len(header):
        raise ValueError(
            f"{values[0]!r}: {len(values)} values: must be {len(header)} ({','.join(header)}); "
            "put a text with a comma in double quotes"
        )
    row = dict(zip(header, values, strict=True))
    if empty := [key for key, value in row.items() if not value and key not in MAY_BE_EMPTY]:
        raise ValueError(f"{empty[0]}: '': must not be empty")
    first = columns[0]
    for line, other in others.items():
        if other[first] == row[first]:
            raise ValueError(f"{first}: {row[first]!r}: must differ from line {line}")
    return row
