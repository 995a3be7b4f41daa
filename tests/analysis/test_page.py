import re
from pathlib import Path

import pytest

from hw2core.analysis.compared import find_best_result
from hw2core.analysis.page import ReportError, inline_svg, link_figure
from hw2core.analysis.report_files import read_questions
from hw2core.config.study import CHECKOUT
from hw2core.runs.paths import locate_figure


@pytest.fixture
def page(published):
    return published.page


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_window_and_loads_nothing(browser, page, width, theme):
    browser.assert_fits(page, width, theme)
    assert browser.requests == [page.as_uri()]


def test_the_contents_are_collapsed_where_there_is_no_room_beside_the_text(browser, page):
    for width, is_open in ((390, False), (1280, True)):
        browser.open(page, width)
        assert browser.evaluate("document.querySelector('.contents').open") is is_open
    links = browser.evaluate("[...document.querySelectorAll('nav a')].map((a) => a.hash).join()")
    assert {f"#{name}" for name in read_questions(CHECKOUT)} < set(links.split(","))


COLOURS = """[
  ["body", "color"], ["body", "backgroundColor"], ["main a", "color"], ["figcaption", "color"],
  [".plot text", "fill"], [".plot path[stroke='#0072b2']", "stroke"]
].map(([where, what]) => getComputedStyle(document.querySelector(where))[what]).join(";")"""


def measure_luminance(colour):
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(x * y for x, y in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("way", ["preference", "attribute"])
def test_both_themes_are_readable_and_figures_follow(browser, page, way):
    colours = {}
    for theme in ("light", "dark"):
        browser.open(page, 1280, theme if way == "preference" else "light")
        if way == "attribute":
            browser.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        colours[theme] = browser.evaluate(COLOURS).split(";")
        text, background, *others = map(measure_luminance, colours[theme])
        for luminance, contrast in ((text, 7), *((other, 3) for other in others)):
            low, high = sorted((luminance, background))
            assert (high + 0.05) / (low + 0.05) > contrast, (theme, colours[theme])
    assert all(a != b for a, b in zip(colours["light"], colours["dark"], strict=True))


def test_the_run_table_is_sorted_and_filtered(browser, page):
    browser.open(page, 1280)
    heads = browser.evaluate(
        "[...document.querySelectorAll('#runs th')].map((head) => head.textContent)"
    )
    browser.assert_sorts("#runs", heads.index("Parameters"))
    sorts = "document.querySelectorAll('#runs th[aria-sort]')"
    assert browser.evaluate(f"{sorts}.length + {sorts}[0].ariaSort") == "1descending"
    browser.evaluate(
        "const box = document.querySelector('#runs input'); box.value = 'residual 1_5';"
        "box.dispatchEvent(new Event('input'))"
    )
    names = browser.read_column("#runs", 0)
    assert names
    assert all("exp1_5_residual" in name for name in names)


def test_a_link_to_the_appendix_opens_its_part(browser, page):
    browser.open(page, 1280)
    assert not browser.evaluate("document.getElementById('settings').open")
    browser.evaluate("location.hash = 'settings'")
    browser.evaluate("new Promise((done) => setTimeout(done, 100))", wait=True)
    assert browser.evaluate("document.getElementById('settings').open")


def test_what_could_run_or_load_is_taken_out_of_a_figure(tmp_path):
    figure = tmp_path / "x.svg"
    figure.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'viewBox="0 0 9 9" onload="alert(1)"><script>alert(2)</script><style>* {}</style>'
        '<a xlink:href="javascript:alert(3)"><path d="M0 0"/></a>'
        '<image xlink:href="http://example.org/x.png"/><g id="axes"><title>hover</title>'
        '<use xlink:href="#axes" style="fill: #ffffff; stroke-width: 2"/></g></svg>'
    )
    svg = inline_svg(figure, "figure-1", 'a "quoted" <text>')
    for word in ("alert", "script", "style", "example.org", "<a"):
        assert word not in svg
    assert '<use fill="#ffffff" href="#figure-1-axes" stroke-width="2"' in re.sub(
        r"<use ([^/>]*?) ?/>", lambda m: "<use " + " ".join(sorted(m[1].split())) + "/>", svg
    )
    assert '<g id="figure-1-axes"><title>hover</title>' in svg
    assert 'aria-label="a &quot;quoted&quot; &lt;text&gt;"' in svg


def test_a_damaged_figure_is_one_clear_error(tmp_path):
    figure = tmp_path / "x.svg"
    figure.write_text("<svg><g>")
    with pytest.raises(ReportError, match=r"x\.svg: damaged"):
        inline_svg(figure, "figure-1", "")


def test_runs_and_figures_lead_to_the_explore_page(published, page):
    text = page.read_text(encoding="utf-8")
    runs = set(published.study.summary["run"])
    names = {experiment.name for experiment in published.study.experiments}
    linked = set(re.findall(r'<a href="explore\.html#([^"]*)">', text))
    assert linked == runs | names
    assert text.count('<p class="explore">') == text.count("<svg")
    assert '<a href="explore.html">' in text  # of the key figure, which shows all


def test_the_figures_of_the_best_network_lead_to_it(published):
    best = find_best_result(published.study).name
    for kind in ("confusion", "mistakes"):
        assert f"explore.html#{best}" in link_figure(
            Path(locate_figure(kind, None)), published.study
        )
