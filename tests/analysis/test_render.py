import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from result_documents import (
    Experiment,
    build_experiment,
    build_part_2,
    build_result,
    build_study,
)

from hw2core.analysis import publish
from hw2core.analysis.experiment_figures import draw_experiment
from hw2core.analysis.public_record import read_public_record
from hw2core.analysis.publish import publish_report, write_page
from hw2core.analysis.render import ReportError, ReportText
from hw2core.analysis.report_context import build_context
from hw2core.analysis.report_sections import share_values
from hw2core.analysis.study_tables import build_tables
from hw2core.analysis.tables import summary_table
from hw2core.config.study import CHECKOUT
from hw2core.runs.paths import PUBLIC_RECORD, STUDY_FIGURES, locate_figure

FOLDER = CHECKOUT / "report"
RECORD = read_public_record(CHECKOUT / PUBLIC_RECORD)


class Page(HTMLParser):
    """The elements of a page and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def write_text(experiments, results, missing=None, target="page"):
    tables = build_tables(results, RECORD)
    text = ReportText(FOLDER, experiments, tables, missing or {}, locate_figure)
    return text.render("report.md.j2", target)


@pytest.fixture
def build_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def build(experiments, results, missing=None):
        output = tmp_path / "report" / "report.html"
        write_page(write_text(experiments, results, missing), FOLDER / "style.css", output)
        return output.read_text(encoding="utf-8")

    return build


def describe(experiments, results):
    return build_context(experiments, build_tables(results, RECORD), {})


def test_the_page_needs_no_other_file_and_every_figure_has_an_alternative_text(build_page):
    results = build_experiment("exp1_1", epochs=3)
    draw_experiment(Experiment("exp1_1"), results)
    html = build_page([Experiment("exp1_1")], results)
    page = Page(html)
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 2
    for image in images:
        assert image["src"].startswith("data:image/svg+xml")
        assert image["alt"].startswith("exp1_1: ")
        assert "exp1_1_L16_K32 (at chance)" in image["alt"]
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:")), (tag, target)
    assert "url(http" not in html
    assert "@import" not in html
    assert "prefers-color-scheme: dark" in html
    assert "Figure 1." in page.text
    assert "Figure 2." in page.text
    assert "<nav" in html
    assert "<math" in html
    assert 'lang="en"' in html


def test_links_within_the_page_lead_somewhere(build_page):
    page = Page(build_page([Experiment("exp1_1")], build_experiment("exp1_1")))
    names = {attributes.get("id") for _, attributes in page.elements}
    links = [x["href"] for tag, x in page.elements if tag == "a" and "href" in x]
    assert len(links) > 20
    assert {link.removeprefix("#") for link in links} <= names


def test_the_run_table_holds_the_numbers_of_the_results(build_page):
    results = [
        build_result(
            "exp1_1_L2_K32",
            seed=seed,
            test_accuracy=accuracy,
            best_validation=accuracy + 1,
            best_epoch=best,
            parameters=1234567,
            flops_per_image=7_650_000,
            seconds=600.0,
        )
        for seed, accuracy, best in [(0, 70.0, 9), (1, 74.0, 12)]
    ]
    html = build_page([Experiment("exp1_1")], results)
    row = next(row for row in re.findall(r"<tr>(.*?)</tr>", html, re.S) if "1,234,567" in row)
    cells = [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.S)]
    assert cells == [
        "exp1_1_L2_K32",
        "2",
        "trained",
        "1,234,567",
        "7.7",
        "9–12 of 20",
        "73.0",
        "72.0 [70.0, 74.0]",
        "10.0 min",
    ]
    assert "By validation the best is exp1_1_L2_K32, with 73.0 % on validation and 72.0" in (
        Page(html).text
    )


def test_the_best_run_is_chosen_by_validation_not_by_test():
    results = [
        build_result("exp1_1_L2_K32", depth=2, best_validation=71.0, test_accuracy=69.0),
        build_result("exp1_1_L4_K32", depth=4, best_validation=70.0, test_accuracy=75.0),
    ]
    context = describe([Experiment("exp1_1")], results)
    assert context["experiments"][0]["best"] == {
        "name": "exp1_1_L2_K32",
        "validation": "71.0",
        "test": "69.0",
        "seeds": "one seed",
    }


def test_outcomes_seeds_and_reduced_data_are_said():
    results = build_experiment("exp1_1", seeds=(0, 1, 2), study_size=False)
    text = " ".join(write_text([Experiment("exp1_1")], results).split())
    assert "4 of 8 runs trained with every seed; not `exp1_1_L8_K32` (1 of 3 at chance)" in text
    assert "3 seeds per run. Reduced data: 4,000 training images." in text
    assert "data.** Some or all of these results" in text
    one = " ".join(write_text([Experiment("exp2")], build_experiment("exp2")).split())
    assert "One seed per run." in one
    assert "Every seed of the 4 runs trained." in one
    assert "Reduced data" not in one
    assert "Some or all of these results" not in one


def test_runs_figures_and_experiments_that_are_missing_are_named(build_page):
    html = build_page(
        [Experiment("exp1_3"), Experiment("exp2")],
        build_experiment("exp1_3")[:3],
        {"exp1_3": ["exp1_3_L4_K64-128-256"], "exp2": ["exp2_L3_K32-64-128"]},
    )
    text = Page(html).text
    assert "3 results, of 3 of 5 planned runs" in text
    assert "Not run: exp1_3_L4_K64-128-256." in text
    assert "(exp1_3_curves) has not been drawn." in text
    assert "No run of this experiment has a result yet." in text
    assert len(re.findall(r"<td[^>]*>not run</td>", html)) == 2
    assert "Experiment exp1_1 Not run: this experiment is not part of this study." in text
    assert "without a section of their own: exp1_1, exp1_2, exp1_4, exp1_5" in text
    # The questions are answered all the same, as far as they can be.
    for number in range(1, 7):
        assert f"Question {number}" in text


def test_a_report_without_any_result_builds():
    text = write_text([Experiment("exp1_1")], [])
    assert "No run has a result yet." in text
    assert "128 GiB" in text
    assert "**Supported**" not in text.partition("# Part 1")[2]
    assert "A real epoch in which both rise cannot be shown: `part2_dropout` is not run." in text


def test_the_three_states_of_a_claim_read_differently():
    def say(better, worse, seeds=(0, 1, 2)):
        results = [
            build_result(f"exp1_1_L{depth}_K32", depth=depth, seed=seed, test_accuracy=accuracy)
            for depth, accuracies in ((4, better), (2, worse))
            for seed, accuracy in zip(seeds, accuracies, strict=False)
        ]
        text = write_text([Experiment("exp1_1")], results)
        return next(line for line in text.splitlines() if "with 4 conv" in line and "- " in line)

    high, low = (75.0, 76.0, 75.5), (70.0, 71.2, 70.3)
    assert re.match(r"- \[\*\*Supported\*\*\]\{[^}]*\}: At width K = 32, plain", say(high, low))
    against = say(low, high)
    assert re.match(r"- \[\*\*Contradicted\*\*\]\{[^}]*\}: the results are against", against)
    assert "difference -5.0 points" in against
    open_one = say(high, low, seeds=(0,))
    assert re.match(r"- \[\*\*Undecided\*\*\]\{[^}]*\}: it is open whether", open_one)
    assert "one seed only: 75.0 % against 70.0 %" in open_one


def test_every_claim_is_said_in_the_text_and_listed_at_the_end():
    text = write_text([Experiment("exp1_1")], [])
    body, _, listed = text.partition("# All claims")
    rows = [line for line in listed.splitlines() if line.startswith("| [**")]
    assert len(rows) > 60
    for row in rows:
        sentence = row.split(" | ")[1]
        quoted = f"“{sentence.removesuffix('.')}”"  # where it is open
        assert sentence in body or quoted in body, sentence


def test_the_answers_hold_the_numbers_of_the_questions():
    text = " ".join(write_text([Experiment("exp1_1")], []).split())
    for number in ("(128, 2048, 128, 1024)", "34,359,738,368", "137,438,953,472", "**128 GiB**"):
        assert number in text
    for number in ("1,179,648", "1,180,160", "69,632", "70,016", "5 × 5", "3 × 3"):
        assert number in text


def test_a_real_epoch_is_found_and_shown():
    results = build_part_2(epochs=6)
    place = next(i for i, x in enumerate(results) if x.name == "part2_dropout_0")
    results[place] = build_result(
        "part2_dropout_0",
        experiment="part2_dropout",
        model="mlp",
        widths=None,
        epochs=6,
        validation_loss=[2.0, 1.5, 1.4, 1.6, 1.7, 1.8],
        validation_accuracy=[20.0, 30.0, 35.0, 38.0, 38.5, 37.0],
    )
    text = " ".join(write_text([Experiment("part2_dropout")], results).split())
    assert "is epoch 4 of `part2_dropout_0` (seed 0)" in text
    assert "rises from 1.400 to 1.600 nats" in text
    assert "rises from 35.0 to 38.0 %" in text


def test_shared_settings_are_listed_and_differing_ones_only_named():
    results = build_experiment("exp1_3", epochs=3)
    results[0].config["training"] |= {"lr": 0.1, "batches": None}
    shared, differing = share_values(results, "training")
    assert ("training.optimizer", "sgd") in shared
    assert ("training.batches", "none") in shared
    assert differing == ["training.lr"]
    text = write_text([Experiment("exp1_3")], results)
    assert "| `training.batch_size` | 128 |" in text
    assert "These differ between experiments or runs, and stand there: `training.lr`." in text


def test_provenance_and_cost_count_the_results_behind_each_fact():
    first, *results = build_experiment("exp1_3", epochs=2)
    other = {"device": "cuda", "git_commit": None, "seconds": 90.0}
    results.append(build_result(first.name, experiment="exp1_3", epochs=2, **other))
    context = describe([Experiment("exp1_3")], results)
    assert context["devices"][1] == ("cuda", "a processor", "bf16", "2", "1", "90 s")
    assert context["costs"] == ", of which 1.5 GPU-minutes"
    assert ("torch", "2.14.0", "4") in context["provenance"]["versions"]
    assert context["provenance"]["data"] == [("d" * 64, "4")]
    text = write_text([Experiment("exp1_3")], results)
    assert "not recorded" in text
    assert "0123456789abcdef0123456789abcdef01234567" in text


def test_a_shared_result_adds_no_time():
    results = build_experiment("exp1_3", epochs=2)
    shared = build_result(results[0].name, experiment="exp1_2", epochs=2, same_as="exp1_3_L1")
    experiments = [Experiment("exp1_3"), Experiment("exp1_2")]
    alone, together = describe(experiments, results), describe(experiments, [*results, shared])
    for key in ("duration", "devices", "costs"):
        assert together[key] == alone[key]


def test_the_same_results_in_any_order_give_the_same_text():
    results = build_experiment("exp1_1", seeds=(0, 1))
    experiments = [Experiment("exp1_1")]
    assert write_text(experiments, results) == write_text(experiments, results[::-1])


def compare(own, published):
    """The section that compares a run's test accuracies, one a seed, with published ones."""

    def build(accuracies):
        return [
            build_result(f"exp1_1_{run}", seed=seed, test_accuracy=accuracy, spec_hash=spec)
            for run, (spec, *values) in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]

    reference = summary_table(build(published)) if published else None
    tables = build_tables(build(own), RECORD)._replace(reference=reference)
    text = ReportText(FOLDER, [Experiment("exp1_1")], tables, {}, locate_figure)
    section = text.render("report.md.j2", "page").partition("# Beside the published record")[2]
    return " ".join(section.partition("# Limits")[0].split())


def test_own_runs_stand_beside_the_published_ones():
    own = {"L2": ("a", 71.0), "L4": ("b", 60.0), "L8": ("d", 50.0), "L16": ("e", 50.0)}
    published = {
        "L2": ("a", 70.0, 71.0, 72.0),
        "L4": ("b", 70.0, 71.0, 72.0),
        "L8": ("c", 70.0, 71.0),
        "L16": ("e", 51.0),
        "other": ("f", 70.0),
    }
    section = compare(own, published)
    assert "4 of its runs have a result here" in section
    assert (
        "(reproduced: 1; not reproduced: 1; no tolerance from one seed: 1; "
        "another configuration: 1)" in section
    )
    assert "the 95 % prediction interval" in section
    assert "| `exp1_1_L2` | 71.0 (1) | 71.0 (3) | 5.0 | reproduced |" in section
    assert "| `exp1_1_L4` | 60.0 (1) | 71.0 (3) | 5.0 | not reproduced |" in section
    assert "| `exp1_1_L8` | 50.0 (1) | 70.5 (2) | – | another configuration |" in section
    assert "| `exp1_1_L16` | 50.0 (1) | 51.0 (1) | – | no tolerance from one seed |" in section


def test_without_a_published_run_in_common_there_is_no_comparison():
    assert compare({"L2": ("a", 70.0)}, None) == ""
    assert compare({"L2": ("a", 70.0)}, {"L4": ("a", 70.0)}) == ""
    alone = compare({"L2": ("a", 70.0)}, {"L2": ("b", 70.0), "L4": ("c", 70.0)})
    assert "not comparable" in alone
    assert "|" not in alone


def test_a_published_table_that_cannot_be_read_is_one_clear_error(tmp_path):
    (tmp_path / "table.csv").write_text("run,seed\n")
    page, pdf = tmp_path / "x.html", tmp_path / "x.pdf"
    with pytest.raises(ReportError, match=r"table\.csv: lacks the columns"):
        publish_report([], [], {}, page, pdf, tmp_path / "table.csv")
    assert not page.exists()


def test_page_and_pdf_of_the_whole_study_are_built_twice_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = build_study(epochs=3)
    names = dict.fromkeys(result.experiment for result in results)
    made = []
    for _ in range(2):
        page, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
        publish_report([Experiment(name) for name in names], results, {}, page, pdf)
        made.append((page.read_bytes(), pdf.read_bytes()))
    assert made[0] == made[1]
    assert made[0][1].startswith(b"%PDF-")


def test_figures_of_the_pdf_have_alternative_texts(tmp_path):
    picture = tmp_path / "a picture.svg"
    picture.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    alt = "exp1_1: loss over the epochs, 80 % \\\\ [dashed] – 'at chance'"
    markdown = f'![**Figure 1.** A caption.](<{picture}>){{alt="{alt}"}}\n'
    publish.write_pdf(markdown, FOLDER / "paper.typ", tmp_path / "x.pdf")
    read = alt.replace(r"\\", "\\").encode("utf-16-be").hex().upper()
    assert f"/Alt<FEFF{read}>".encode() in read_pdf(tmp_path / "x.pdf")


def read_pdf(path):
    """Return the parts of a PDF that are compressed, one after another."""
    streams = re.findall(rb"stream\r?\n(.*?)endstream", path.read_bytes(), re.DOTALL)
    return b"".join(zlib.decompressobj().decompress(x) for x in streams if x[:1] == b"x")


# What may hold a digit, in the order in which it is taken out.
ALLOWED = (
    r"(?s)\$\$.*?\$\$",  # formulas
    r"\$[^$]*\$",
    r"(?s)<#.*?#>",  # comments
    r"(?m)^\s*#+ .*$",  # headings
    r"`[^`\n]*`",  # names of runs and files
    r"tabindex=.0.",
    r", \d\) \}\}",  # how many decimals of a computed number
    r"\b(?:[Ee]xperiments?|[Pp]art|[Qq]uestion) \d(?:\.\d)?(?: and \d(?:\.\d)?)?",
    r"[A-Za-z_/][\w./-]*",  # identifiers
)


def find_typed_digits(text):
    for pattern in ALLOWED:
        text = re.sub(pattern, " ", text)
    return re.findall(r".{0,30}\d.{0,30}", text)


@pytest.mark.parametrize(
    "path",
    sorted(path for path in FOLDER.rglob("*") if path.suffix in (".j2", ".rst")),
    ids=lambda path: path.name,
)
def test_no_template_holds_a_typed_number(path):
    assert find_typed_digits(path.read_text(encoding="utf-8")) == []


def test_a_typed_number_would_be_found():
    assert find_typed_digits("the accuracy rises to 71.3 % with $x_1$ in part 2") != []
    assert find_typed_digits("about 12 of the runs of experiment 1.1 at `L4`") != []
    assert find_typed_digits("in experiment 1.1 and part 2, $K = 32$, `exp1_1`, part3_q1") == []


def test_every_figure_of_the_study_is_shown_and_has_a_caption():
    text = write_text([Experiment("exp1_1")], [])
    for kind in STUDY_FIGURES:
        assert f"(`study_{kind}`)" in text
        assert (FOLDER / "captions" / f"{kind}.rst").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize("tool", ["pandoc", "typst"])
def test_a_tool_that_fails_is_one_clear_error_and_leaves_no_file(tmp_path, monkeypatch, tool):
    def fail(*_, **__):
        raise RuntimeError("it died\nwith exitcode 99")

    if tool == "pandoc":
        monkeypatch.setattr(publish.pypandoc, "convert_text", fail)
    else:
        monkeypatch.setattr(publish.typst, "Compiler", fail)
    with pytest.raises(ReportError, match=rf"{tool} could not .*: it died with exit"):
        publish.write_pdf("text", FOLDER / "paper.typ", tmp_path / "x.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_template_is_one_clear_error(tmp_path):
    (tmp_path / "macros.md.j2").write_text((FOLDER / "macros.md.j2").read_text())
    text = ReportText(tmp_path, [], build_tables([], RECORD), {}, locate_figure)
    (tmp_path / "x.md.j2").write_text("{{ nothing_of_this_name }}")
    with pytest.raises(ReportError, match=r"x\.md\.j2.*nothing_of_this_name"):
        text.render("x.md.j2", "page")
    Path(tmp_path / "y.md.j2").write_text('{{ say("no_such_claim") }}')
    with pytest.raises(ReportError, match=r"y\.md\.j2.*no_such_claim"):
        text.render("y.md.j2", "page")
