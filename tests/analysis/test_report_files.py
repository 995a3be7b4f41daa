"""The tables and templates of report/, as people and spreadsheets leave them."""

from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest
from result_documents import build_results, tabulate

from hw2core.analysis.findings import changes
from hw2core.analysis.report_files import (
    check_report_files,
    list_needed,
    read_baselines,
    read_changes,
    read_questions,
)
from hw2core.analysis.tables import BASELINE_TYPES
from hw2core.config.study import CHECKOUT
from hw2core.errors import UserError
from hw2core.runs import paths

TABLES = {
    paths.QUESTIONS_TABLE: read_questions,
    paths.CHANGES_TABLE: read_changes,
    paths.BASELINES: lambda checkout: read_baselines(checkout / paths.BASELINES),
}
QUESTION = "part3_q2,Depth,"
WHAT = "Label smoothing,"
RUN = "exp1_1_L2_K32,31,0.000,64.6,53.0,72.6"


@pytest.fixture
def checkout(tmp_path):
    ignored = shutil.ignore_patterns("reference", "explore*", "report.*f", "*.html")
    shutil.copytree(CHECKOUT / "report", tmp_path / "report", ignore=ignored)
    return tmp_path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def refuse(read, checkout, place, rule):
    with pytest.raises(UserError, match=rf"^{checkout}/{re.escape(place)}.*{rule}") as caught:
        read(checkout)
    assert "\n" not in str(caught.value)


def save_in_spreadsheet(text, width):
    """Return a table as Excel writes it: with a mark, CRLF, and lines of equally many values."""
    lines = []
    for line in text.splitlines():
        quoted = f'"{line}"' if line.startswith("#") and "," in line else line
        lines.append(quoted + "," * (width if line.startswith("#") else 2))
    return "\ufeff" + "\r\n".join([*lines, "," * width, ""])


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_a_spreadsheet_has_saved_is_the_same(checkout, name):
    before = TABLES[name](checkout)
    assert before
    path = checkout / name
    path.write_bytes(save_in_spreadsheet(path.read_text(encoding="utf-8"), 6).encode())
    assert TABLES[name](checkout) == before


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_other_columns_or_none_is_one_line(checkout, name):
    path = checkout / name
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    place, header = next((n, x) for n, x in enumerate(lines) if x[0] != "#")
    allowed = header.strip()

    def replace(new):
        path.write_text("".join([*lines[:place], new, *lines[place + 1 :]]), encoding="utf-8")

    for wrong in (allowed.replace(",", ";"), allowed.rpartition(",")[0], f"{allowed},note"):
        replace(f"{wrong}\n")
        refuse(
            TABLES[name], checkout, f"{name}: line {place + 1}: '{wrong}'", f"must be {allowed}$"
        )
    replace(",".join([allowed.rpartition(",")[0]] * 2) + "\n")
    refuse(TABLES[name], checkout, f"{name}: line {place + 1}: ", f"must be {allowed}$")
    path.write_text("# only a comment\n")
    refuse(TABLES[name], checkout, f"{name}: empty", f"must begin with {allowed}$")
    path.write_bytes(text.encode("utf-16"))
    refuse(TABLES[name], checkout, f"{name}: cannot be read", "must be UTF-8$")
    path.unlink()
    refuse(TABLES[name], checkout, f"{name}: cannot be read", "No such file")


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        (
            paths.QUESTIONS_TABLE,
            QUESTION,
            f"{QUESTION}and more,",
            "'part3_q2': 4 values: must be 3",
        ),
        (paths.QUESTIONS_TABLE, QUESTION, "part3_q2,", "'part3_q2': 2 values: must be 3"),
        (paths.QUESTIONS_TABLE, QUESTION, "part3_q2,,", "title: '': must not be empty"),
        (paths.QUESTIONS_TABLE, QUESTION, "part3_q3,Depth,", "'part3_q3': must differ from line 7"),
        (paths.QUESTIONS_TABLE, QUESTION, "part4_q2,Depth,", "name: 'part4_q2': must be part1_q1"),
        (paths.QUESTIONS_TABLE, QUESTION, "../x,Depth,", "name: '../x': must be part1_q1"),
        (paths.QUESTIONS_TABLE, QUESTION, 'part3_q2,"A "depth",', "expected after"),
        (paths.CHANGES_TABLE, WHAT, "Label, smoothing,", "'Label': 6 values: must be 5"),
        (paths.CHANGES_TABLE, WHAT, "Cutout,", "what: 'Cutout': must differ from line"),
        (paths.CHANGES_TABLE, "training.cutout", "training.cut", r"training\.cutout,"),
        (paths.CHANGES_TABLE, "head=average", "tail=average", r"architecture\.head,"),
        (paths.CHANGES_TABLE, "training.cutout", "cutout", "must be training.KEY or arch"),
        (paths.BASELINES, RUN, f"{RUN},3", "'exp1_1_L2_K32': 7 values: must be 6"),
        (paths.BASELINES, RUN, RUN.replace("L2", "L4"), "must differ from line"),
        (paths.BASELINES, RUN, RUN.replace("64.6", "text"), "text.*lowest <= median"),
        (paths.BASELINES, RUN, RUN.replace("64.6", "nan"), "nan.*lowest <= median"),
        (paths.BASELINES, RUN, RUN.replace("64.6", "80"), "80.*lowest <= median"),
        (paths.BASELINES, RUN, RUN.replace("72.6", "172.6"), "172.6.*percentages"),
        (paths.BASELINES, RUN, RUN.replace("0.000", "5"), "share from 0 to 1"),
        (paths.BASELINES, RUN, RUN.replace("31", "3.5"), "3.5.*whole number"),
    ],
)
def test_a_wrong_row_is_one_line_with_its_place_and_what_is_allowed(checkout, name, old, new, rule):
    edit(checkout / name, old, new)
    refuse(TABLES[name], checkout, f"{name}: line ", rule)


def test_a_table_may_have_no_rows_and_texts_with_number_signs(checkout, monkeypatch):
    for name, read in TABLES.items():
        lines = (checkout / name).read_text(encoding="utf-8").splitlines()
        (checkout / name).write_text(next(line for line in lines if line[0] != "#"))
        assert len(read(checkout)) == 0
    assert list(pd.DataFrame(read_baselines(checkout / paths.BASELINES), columns=[*BASELINE_TYPES]))
    monkeypatch.setattr(changes.report_files, "read_changes", lambda _: [])
    used = changes.read_changes(tabulate(build_results("exp2", epochs=1)))
    assert (len(used), list(used)) == (0, ["what", "why", "source", "without", "setting"])
    path = checkout / paths.QUESTIONS_TABLE
    path.write_text('name,title,asked\npart3_q1,C#, "None, or\nsome?"\n\npart1_q1,a,b\n')
    assert [list(row.values()) for row in read_questions(checkout).values()] == [
        ["part3_q1", "C#", "None, or some?"],
        ["part1_q1", "a", "b"],
    ]


@pytest.mark.parametrize("file", ["report.md.j2", "part1.md.j2", "answers/part3_q2.md.j2"])
@pytest.mark.parametrize(
    "picture",
    ["![My picture](explore.png)", "![two\nlines](x.svg)", "![a][b]", "![b]", '<img src="x.png">'],
)
def test_a_picture_of_ones_own_in_a_template_is_one_line(checkout, file, picture):
    check_report_files(checkout)
    path = checkout / "report" / file
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\nA footnote![^1] and \\![a](b) and `![a](b)`.\n", encoding="utf-8")
    check_report_files(checkout)
    path.write_text(f"{text}\nSee {picture}", encoding="utf-8")
    place = f"report/{file}: line {text.count(chr(10)) + 2}: {picture.splitlines()[0]!r}"
    refuse(check_report_files, checkout, place, r'only figures of the study.*figure\("key"\)')


def test_the_files_that_the_report_needs_are_known_without_rendering_it(tmp_path):
    template = tmp_path / paths.REPORT_TEMPLATE
    needed = set(list_needed(CHECKOUT))
    assert all(path.is_file() for path in needed)
    templates = {x for x in (CHECKOUT / "report").rglob("*.j2") if x.name != "readme.md.j2"}
    assert templates <= needed
    template.parent.mkdir()
    template.write_text("# My study {{ figure('key') }}")  # without answers
    own = set(list_needed(tmp_path))
    assert own == {tmp_path / file for file in paths.REPORT_FILES}
    template.write_text('{% include "mine.md.j2" %}')
    assert set(list_needed(tmp_path)) - own == {template.with_name("mine.md.j2")}


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        ("{% if x %}", "Unexpected end of template"),
        ("{{ figure('key' }}", "unexpected '}'"),
        ('{{ figure("study_kye") }}', "figure 'study_kye': must be one of key, "),
        ('{{ figure("key", "exp1_1") }}', "figure 'key': must be one of curves, "),
    ],
)
@pytest.mark.parametrize("where", ["report.md.j2", "answers/part3_q2.md.j2", "answers/mine.md.j2"])
def test_a_slip_in_a_template_is_one_line(checkout, added, problem, where):
    path = checkout / "report" / where
    if where.endswith("mine.md.j2"):  # included by an answer
        path.touch()
        with path.with_name("part3_q3.md.j2").open("a") as file:
            file.write("{% include 'answers/mine.md.j2' %}\n")
    check_report_files(checkout)
    with path.open("a") as file:
        file.write(f"{added}\n")
    refuse(check_report_files, checkout, f"report/{where}: line ", problem)
