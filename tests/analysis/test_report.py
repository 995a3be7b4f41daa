"""The report's text, page and PDF."""

import dataclasses
import errno
import os
import re
import shutil
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydantic import BaseModel
from result_documents import Experiment, build_results, tabulate

from hw2core.analysis import report
from hw2core.analysis.page import hash_source
from hw2core.analysis.report import Document, ReportError, publish, render_answer
from hw2core.analysis.report_files import read_questions
from hw2core.analysis.tables import build, read_table
from hw2core.config.study import CHECKOUT
from hw2core.runs.paths import REFERENCE_TABLE, locate_figure, reference_path

ROOT = Path(__file__).parents[2]
QUESTIONS = read_questions(ROOT)
FIGURE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9"/></svg>'


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the report of results; returns the page and what of the PDF can be read."""
    monkeypatch.chdir(tmp_path)

    def write(study):
        publish(study, Path("report.html"), Path("report.pdf"))
        return Path("report.html").read_text(encoding="utf-8"), read_pdf(Path("report.pdf"))

    return write


def read_pdf(path):
    """Return the content of a PDF, and after it the parts that are compressed in it."""
    content = path.read_bytes()
    assert content.startswith(b"%PDF-")
    streams = re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL)
    read = (zlib.decompressobj().decompress(x) for x in streams if x[:1] == b"x")
    return b"".join([content, *read])


def draw(kind, experiment=None):
    path = Path(locate_figure(kind, experiment))
    path.parent.mkdir(exist_ok=True)
    path.write_text(FIGURE)
    return path


def test_the_page_needs_nothing_else_and_its_links_lead_somewhere(published):
    html = published.page.read_text(encoding="utf-8")
    page = Page(html)
    identifiers = [x["id"] for _, x in page.elements if "id" in x]
    assert len(identifiers) == len(set(identifiers))
    places = {"#", "explore.html", *(f"#{identifier}" for identifier in identifiers)}
    places |= {f"explore.html#{name}" for name in published.study.runs["experiment"]}
    places |= {f"explore.html#{name}" for name in published.study.runs["run"]}
    for tag, attributes in page.elements:
        assert not {"style", "src", "onload", "onclick"} & attributes.keys(), (tag, attributes)
        assert attributes.get("href", "#") in places, (tag, attributes)
    assert {*QUESTIONS, "method", "limits", "references", "appendix"} <= set(identifiers)
    figures = [x for tag, x in page.elements if tag == "svg"]
    assert len(figures) == len(published.study.experiments) + 1  # those the text leaves out, too
    assert all(figure["aria-label"] for figure in figures)
    assert "<math" in html


def test_the_policy_of_the_page_allows_its_own_style_and_script_only(published):
    html = published.page.read_text(encoding="utf-8")
    policy = next(x["content"] for t, x in Page(html).elements if t == "meta" and len(x) == 2)
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        (source,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert f"{tag}-src '{hash_source(source)}'" in policy


def test_the_same_results_give_the_same_bytes(published, monkeypatch, tmp_path):
    monkeypatch.chdir(published.folder)
    study = build(published.study.experiments, published.study.results[::-1])
    page, pdf = tmp_path / "x.html", tmp_path / "x.pdf"
    publish(study, page, pdf)
    assert page.read_bytes() == published.page.read_bytes()
    assert pdf.read_bytes() == published.pdf.read_bytes()


HOSTILE = (
    '`<script>alert(1)</script>`{=html} `#read("/etc/hostname")`{=typst} \\alert $x$\n'
    "<iframe src=/etc/hostname> ![x](net.png) [l](http://example.org) accuracy @5 <wide> a | b\n"
    "\n# head {#method}\n\n::: {.note}\n- item\n---\n{{ 1 + 1 }} <!-- -->"
)
# Strings that the code itself decides by.
KEPT = {"name", "experiment", "model", "precision", "run", "layers_per_block"}


def forge(value, key=""):
    """Return a copy in which each string that may vary is hostile.

    Reading refuses such results; the report does not rely on it.
    """
    if isinstance(value, BaseModel):
        fields = {name: forge(getattr(value, name), name) for name in type(value).model_fields}
        return value.model_copy(update=fields)
    if isinstance(value, dict):
        return {name: forge(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [forge(item, key) for item in value]
    return HOSTILE if isinstance(value, str) and key not in KEPT else value


def test_text_of_results_and_of_the_config_is_shown_and_does_nothing(write):
    results = build_results(seeds=(0,), epochs=3)
    forged = [forge(result) for result in results]
    names = dict.fromkeys(result.experiment for result in results)
    text = {"question": HOSTILE, "varies": HOSTILE, "fixed": HOSTILE}
    study = build([Experiment(name, **text) for name in names], forged)
    draw("key")
    html, pdf = write(study)
    page = Page(html)
    assert page.text.count("![x](net.png)") > len(names)
    assert "accuracy @5 <wide> a | b" in page.text
    assert "`<script>alert(1)</script>`{=html}" in page.text
    tags = [tag for tag, _ in page.elements]
    assert not {"iframe", "img", "wide"} & set(tags)
    assert tags.count("script") == 1
    assert not any("example.org" in x.get("href", "") for _, x in page.elements)
    assert b"/URI" not in pdf
    assert b"/Link" in pdf  # those within the document
    host = Path("/etc/hostname")
    assert not host.exists() or host.read_text().strip() not in page.text


@pytest.mark.parametrize("results", [[], build_results("exp1_1", epochs=2)], ids=len)
def test_a_study_with_little_of_the_course_or_without_results_is_reported(write, results):
    html, _ = write(tabulate(results, {"exp1_4": ["exp1_4_L8_K32"]}))
    page = Page(html)
    for question in QUESTIONS.values():
        assert question["title"] in page.text
    assert "128 GiB" in page.text


# What the report says of the assignment, and of runs that were never planned.
OF_THE_COURSE = r"exp1|exp2|YourCode|[Pp]art \d|[Qq]uestion \d|[Pp]ublic|128 GiB|assignment"


@pytest.mark.parametrize("seeds", [(), (0,), (0, 1, 2)], ids=["no results", "one seed", "seeds"])
def test_a_study_of_ones_own_has_a_report_of_its_own(write, seeds):
    results = build_results("exp3", seeds=seeds, epochs=3)
    missing = {} if seeds else {"exp3": ["exp3_bn-true_lr1_L4_K32"]}
    study = tabulate(results, missing, settings=["training.lr", "architecture.batchnorm"])
    published = read_table(CHECKOUT / reference_path(REFERENCE_TABLE))
    for kind, name in [("settings", "exp3"), ("curves", "exp3"), ("key", None), ("dots", None)]:
        draw(kind, name)
    html, _ = write(dataclasses.replace(study, reference=published))
    page = Page(html)
    assert re.findall(OF_THE_COURSE, page.text) == []
    assert re.search("undecided|not part of", page.text) is None
    assert "Results of exp3" in page.text
    links = [x["href"] for _, x in page.elements if "href" in x]
    targets = {link[1:] for link in links if link.startswith("#")}
    assert targets <= {x["id"] for _, x in page.elements if "id" in x}
    figures = [x["aria-label"] for tag, x in page.elements if tag == "svg"]
    assert bool(seeds) == any("exp3 against training.lr" in label for label in figures)
    if seeds:
        assert "the best by validation, exp3_bn-true_lr0.01_L4_K32" in page.text


ADAMW = {"optimizer": "adamw", "schedule": "constant", "lr": 0.003, "flip": False, "translate": 0}
NESTEROV = {"momentum": 0.9, "nesterov": True, "schedule": "one_cycle", "weight_decay": 5e-4}
NESTEROV |= {"flip": True, "translate": 4}


def render(*results):
    return Document(tabulate(results)).render("report.md.j2")


def test_fixed_sentences_are_those_of_the_settings():
    off = {"label_smoothing": 0, "cutout": 0, "average": 0}
    plain = build_results("exp1_1", training=ADAMW)
    own = build_results("exp2", training=ADAMW | off)
    text = render(*plain, *own, *build_results("exp1_4", training=ADAMW))
    recipe = "Part 3 trains with AdamW and a constant rate on images that are neither flipped nor"
    assert recipe in text
    assert "shifted, except" not in text
    assert "**The cause** is the scale" in text
    assert "Both kinds of network are best at" not in text
    assert "The custom network has 6 changes" in text
    assert re.search("smoothing|Cutout|EMA|own recipe", text) is None
    assert "one data set of small images, one split" in text
    assert "The table shows the factor per layer" in text
    assert "The table shows the factor" not in render(*build_results("exp2", training=ADAMW | off))
    assert "**The cause** is the scale" not in render(*plain[:2])  # which train
    published = build_results("exp1_1", training=NESTEROV)
    text = render(*published, *build_results("exp2"))
    assert "Part 3 trains with Nesterov momentum [@nesterov1983]" in text
    assert ", except 4 runs of `exp2`." in text
    he = render(*build_results("exp1_1", network={"initialization": "he"}))
    assert "**The cause** is the scale" not in he
    plain = "exp1_1", "exp1_2", "exp1_3", "exp1_4"
    assert render(*build_results(*plain)).count("argument of question 2") == 3
    he = render(*build_results(*plain, network={"initialization": "he"}))
    assert "argument of question 2" not in he
    rest = render(*build_results(*plain[1:]))  # without the cause in question 2
    assert "argument of question 2" not in rest
    assert (
        "how far the signal shrinks depends on the number of layers and not on the widths" in rest
    )
    assert r"1/(3n) \cdot 1/2" not in he
    assert "Both kinds of network are best at" in text
    assert "The custom network has 9 changes" in text
    assert "own recipe" in text


def test_an_experiment_that_shares_only_its_name_with_the_course_answers_no_question():
    other = build_results("exp2", model="cnn")
    text = render(*other)
    assert re.search(r"[Qq]uestion \d|YourCode|custom network", text) is None
    assert "# Experiments" in text
    assert report.title_study(tabulate(other)) == "Results of exp2"
    text = render(*other, *build_results("exp1_1"))
    assert "Experiment `exp2` is not part of this study as the assignment defines it." in text
    assert "YourCode" not in text
    assert "## exp2 {#experiment-exp2}" in text


@pytest.mark.parametrize(
    ("number", "title"), [(0, "no experiment"), (2, "a and b"), (4, "a study")]
)
def test_a_study_of_ones_own_is_titled_by_its_experiments(number, title):
    mine = [Experiment(name) for name in "abcd"[:number]]
    assert report.title_study(build(mine, [])) == f"Results of {title}"


def test_part_2_alone_is_no_study_of_depth():
    study = tabulate(build_results("part2_optim"))
    assert report.title_study(study) == "Results of part2_optim"
    text = Document(study).render("report.md.j2")
    assert "measures how depth" not in text
    assert text.lstrip().startswith("No convolutional network has a result.")
    assert "# Part 2: training from scratch" in text


def test_figures_are_numbered_named_when_missing_and_left_out_when_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    document = Document(tabulate(build_results("exp1_1", epochs=3)))
    path = draw("curves", "exp1_1")
    assert document.figure("curves", "exp1_1").startswith("![**Figure 1.** ")
    assert document.figures == {"figure-1.svg": path}
    assert "`figures/study_key.svg` is missing" in document.figure("key")
    assert document.figure("curves", "exp2") == ""


def test_figures_of_the_pdf_have_alternative_texts(tmp_path):
    picture = tmp_path / "a picture.svg"
    picture.write_text(FIGURE)
    alt = "exp1_1: loss over the epochs, 80 % \\\\ [dashed] – 'at chance'"
    markdown = f'![**Figure 1.** A caption.](figure-1.svg){{alt="{alt}"}}\n'
    report.write_pdf(markdown, {"figure-1.svg": picture}, tmp_path / "x.pdf")
    read = alt.replace(r"\\", "\\").encode("utf-16-be").hex().upper()
    assert f"/Alt<FEFF{read}>".encode() in read_pdf(tmp_path / "x.pdf")


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_alone_is_plain_markdown(name, published):
    text = render_answer(name, published.study)
    assert text
    assert ":::" not in text


def test_the_equation_of_a_block_has_the_activation_of_its_networks():
    relu, gelu = (
        render_answer("part3_q5", tabulate(build_results("exp1_4", epochs=1, network=network)))
        for network in ({}, {"activation_type": "gelu"})
    )
    assert r"computes $y = \mathrm{relu}(f(x) + x)$, with" in relu
    assert r"computes $y = \phi(f(x) + x)$ with the activation function $\phi$, with" in gelu


@pytest.mark.parametrize(
    ("tool", "call"), [("pandoc", "pypandoc.convert_text"), ("typst", "typst.Compiler")]
)
def test_a_tool_that_fails_is_one_clear_error_and_leaves_no_file(tmp_path, monkeypatch, tool, call):
    def fail(*_, **__):
        raise RuntimeError("it died\nwith exitcode 99")

    monkeypatch.setattr(call, fail)
    with pytest.raises(ReportError, match=rf"{tool} could not .*: it died with exit"):
        report.write_pdf("text", {}, tmp_path / "x.pdf")
    assert list(tmp_path.iterdir()) == []


def test_figures_are_copied_next_to_the_pdf_and_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def fill_up(_source, target):
        assert target.is_relative_to(tmp_path)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(shutil, "copyfile", fill_up)
    with pytest.raises(ReportError, match=r"typst could not .* No space left"):
        report.write_pdf("text", {"figure-1.svg": Path("a.svg")}, tmp_path / "x.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_checkout_in_a_folder_with_other_letters_needs_no_utf8_locale(tmp_path):
    folder = tmp_path / "é"
    folder.mkdir()
    shutil.copy(report.PAPER, folder)
    code = (
        "from pathlib import Path; from hw2core.analysis import report\n"
        "report.PAPER = Path('paper.typ').resolve(); report.write_pdf('ü', {}, Path('x.pdf'))"
    )
    environment = os.environ | {"LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)
    assert (folder / "x.pdf").exists()


def test_an_unknown_name_in_a_template_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "TEMPLATES", tmp_path)
    (tmp_path / "x.md.j2").write_text("{{ nothing_of_this_name }}")
    document = Document(tabulate([]))
    with pytest.raises(ReportError, match=r"x\.md\.j2.*nothing_of_this_name"):
        document.render("x.md.j2")
    with pytest.raises(ReportError, match=r"answer\('part3_q9'\): must be one of .*part3_q2"):
        document.answer("part3_q9")
    with pytest.raises(ReportError, match="nobody2000"):
        report.write_pdf("As @nobody2000 says.", {}, tmp_path / "x.pdf")


# What may hold a digit, in the order in which it is taken out.
ALLOWED = (
    r"(?s)\$\$.*?\$\$",  # formulas
    r"\$[^$]*\$",
    r"(?s)<#.*?#>",  # comments
    r"(?s)\{\{.*?\}\}|\{%.*?%\}",  # code
    r"(?m)^\s*#+ .*$",  # headings
    r"`[^`\n]*`",  # names of runs and files
    r"\b(?:[Ee]xperiments?|[Pp]art|[Qq]uestion) \d(?:\.\d)?(?: and \d(?:\.\d)?)?",
    r"[A-Za-z_/][\w./-]*",  # identifiers
)


@pytest.mark.parametrize(
    "path", sorted(report.TEMPLATES.rglob("*.md.j2")), ids=lambda path: path.name
)
def test_no_template_holds_a_typed_number(path):
    text = path.read_text(encoding="utf-8")
    for pattern in ALLOWED:
        text = re.sub(pattern, " ", text)
    assert re.findall(r".{0,30}\d.{0,30}", text) == []
