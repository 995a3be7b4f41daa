import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from result_documents import Experiment, build_document, build_experiment

from hw2core.analysis import render
from hw2core.analysis.figures import plot_accuracy, plot_curves, save_figure
from hw2core.analysis.render import ReportError, render_report
from hw2core.analysis.report_context import build_context, share_values
from hw2core.analysis.tables import epochs_table, summary_table

TEMPLATE = Path(__file__).parents[2] / "report" / "report.md.j2"


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


def build_page(tmp_path, experiments, documents, figures=None, missing=None):
    output = tmp_path / "report.html"
    render_report(experiments, documents, figures or {}, TEMPLATE, output, missing=missing or {})
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    documents = build_experiment("exp1_1", epochs=3)
    summary, epochs = summary_table(documents), epochs_table(documents)
    folder = tmp_path_factory.mktemp("figures")
    experiment = Experiment("exp1_1")
    paths = []
    for kind, figure in {
        "curves": plot_curves(experiment, summary, epochs),
        "accuracy": plot_accuracy(experiment, summary),
    }.items():
        both = [folder / f"exp1_1_{kind}.png", folder / f"exp1_1_{kind}.svg"]
        save_figure(figure, both)
        paths += both
    return {"exp1_1": paths}


def test_the_page_needs_no_other_file_and_every_figure_has_an_alternative_text(tmp_path, figures):
    html = build_page(tmp_path, [Experiment("exp1_1")], build_experiment("exp1_1"), figures)
    page = Page(html)
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 2  # SVG and PNG of one figure are shown once
    for image in images:
        assert image["src"].startswith("data:image/svg+xml")
        assert image["alt"].startswith("exp1_1, 8 runs.")
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


def test_the_run_table_holds_the_numbers_of_the_documents(tmp_path):
    documents = [
        build_document(
            "exp1_1_L2_K32",
            seed=seed,
            test_accuracy=accuracy,
            validation_accuracy=accuracy + 1,
            best_epoch=best,
            parameters=1234567,
            flops_per_image=7_650_000,
            seconds=600.0,
        )
        for seed, accuracy, best in [(0, 70.0, 9), (1, 74.0, 12)]
    ]
    html = build_page(tmp_path, [Experiment("exp1_1")], documents)
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
    documents = [
        build_document("exp1_1_L2_K32", depth=2, validation_accuracy=71.0, test_accuracy=69.0),
        build_document("exp1_1_L4_K32", depth=4, validation_accuracy=70.0, test_accuracy=75.0),
    ]
    context = build_context([Experiment("exp1_1")], documents, {}, {})
    assert context["experiments"][0]["best"] == {
        "name": "exp1_1_L2_K32",
        "validation": "71.0",
        "test": "69.0",
        "seeds": "one seed",
    }


def test_outcomes_seeds_and_reduced_data_are_said(tmp_path):
    documents = build_experiment("exp1_1", seeds=(0, 1, 2), study_size=False)
    text = Page(build_page(tmp_path, [Experiment("exp1_1")], documents)).text
    assert "4 of 8 runs trained with every seed; not exp1_1_L8_K32 (1 of 3 at chance)" in text
    assert "3 seeds per run. Reduced data: 4,000 training images." in text
    assert "data. Some or all of these results" in text
    one = Page(build_page(tmp_path, [Experiment("exp2")], build_experiment("exp2"))).text
    assert "One seed per run." in one
    assert "Every seed of the 4 runs trained." in one
    assert "Reduced data" not in one
    assert "Some or all of these results" not in one


def test_runs_and_figures_that_are_missing_are_named(tmp_path):
    html = build_page(
        tmp_path,
        [Experiment("exp1_3"), Experiment("exp2")],
        build_experiment("exp1_3")[:3],
        {"exp1_3": [tmp_path / "exp1_3_curves.svg"]},
        {"exp1_3": ["exp1_3_L4_K64-128-256"], "exp2": ["exp2_L3_K32-64-128"]},
    )
    text = Page(html).text
    assert "3 results, of 3 of 5 planned runs" in text
    assert "Not run: exp1_3_L4_K64-128-256." in text
    assert "Figure 1 (exp1_3_curves) has not been drawn." in text
    assert "No run of this experiment has a result yet." in text
    assert len(re.findall(r"<td[^>]*>not run</td>", html)) == 2


def test_a_report_without_any_result_builds(tmp_path):
    text = Page(build_page(tmp_path, [Experiment("exp1_1")], [])).text
    assert "No run has a result yet." in text


def test_shared_settings_are_listed_and_differing_ones_only_named(tmp_path):
    documents = build_experiment("exp1_3", epochs=3)
    documents[0]["config"]["training"] |= {"lr": 0.1, "clip_norm": None}
    shared, differing = share_values(documents, "training")
    assert ("training.optimizer", "sgd") in shared
    assert ("training.clip_norm", "none") in shared
    assert differing == ["training.lr"]
    text = Page(build_page(tmp_path, [Experiment("exp1_3")], documents)).text
    assert "training.batch_size 128" in text
    assert "These differ between experiments or runs, and stand there: training.lr." in text


def test_provenance_counts_the_results_behind_each_fact(tmp_path):
    documents = build_experiment("exp1_3", epochs=2)
    documents[0]["metadata"] |= {"device": "cuda", "git_commit": None}
    context = build_context([Experiment("exp1_3")], documents, {}, {})
    provenance = context["provenance"]
    assert provenance["devices"] == [
        ("cpu", "a processor", "2", "bf16", "3"),
        ("cuda", "a processor", "2", "bf16", "1"),
    ]
    assert ("torch", "2.14.0", "4") in provenance["versions"]
    assert provenance["data"] == [("d" * 64, "4")]
    text = Page(build_page(tmp_path, [Experiment("exp1_3")], documents)).text
    assert "not recorded" in text
    assert "0123456789abcdef0123456789abcdef01234567" in text


def test_the_same_documents_in_any_order_give_the_same_bytes(tmp_path, figures):
    documents = build_experiment("exp1_1", seeds=(0, 1))
    one = build_page(tmp_path, [Experiment("exp1_1")], documents, figures)
    two = build_page(tmp_path, [Experiment("exp1_1")], documents[::-1], figures)
    assert one == two


def test_the_template_holds_no_typed_number():
    text = TEMPLATE.read_text(encoding="utf-8")
    assert re.findall(r"\d", re.sub(r"sha256|tabindex=.0.", "", text)) == []


def test_a_pandoc_that_fails_is_one_clear_error_and_leaves_no_file(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("pandoc died\nwith exitcode 99")

    monkeypatch.setattr(render.pypandoc, "convert_text", fail)
    with pytest.raises(ReportError, match=r"pandoc could not build .*: pandoc died with exit"):
        build_page(tmp_path, [Experiment("exp1_1")], [])
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_template_is_one_clear_error(tmp_path):
    template = tmp_path / "x.md.j2"
    template.write_text("{{ nothing_of_this_name }}")
    with pytest.raises(ReportError, match=r"x\.md\.j2.*nothing_of_this_name"):
        render_report([], [], {}, template, tmp_path / "x.html", missing={})
