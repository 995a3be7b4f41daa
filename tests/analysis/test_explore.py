"""The explore page: what is in it, and in headless Chromium what pointing at it shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from result_documents import build_result, build_results, tabulate

from hw2core.analysis.explore import write_page
from hw2core.analysis.explore.data import PICTURES, describe_study
from hw2core.config.arithmetic import Work
from hw2core.data.prepared import load_prepared
from hw2core.runs.paths import EXPLORE
from hw2core.runs.schema import Epochs, Mistake
from hw2core.runs.unfinished import Unfinished

SEEDS, EPOCHS = (0, 1), 3
RUN, OTHER = "exp1_4_L8_K32", "exp1_1_L2_K64"
ATTACKS = (
    "</script><script>document.title = 'hit'</script>",
    '"><img src=x onerror="document.title = `hit`">',
    "`<script>document.title = 'hit'</script>`{=html}",
    "<!--<script>",
    "\u2028*/</style><svg onload=\"document.title = 'hit'\">",
    "{{ 7 * 7 }}${document.title = 'hit'}",
    "__proto__",
)


@pytest.fixture(scope="module")
def results():
    return build_results(seeds=SEEDS, epochs=EPOCHS)


@pytest.fixture(scope="module")
def prepared(tiny_manifest):
    """Images that count as those of the made-up results."""
    return replace(load_prepared(tiny_manifest), sha256="d" * 64)


@pytest.fixture(scope="module")
def other_data():
    """A result on images of two classes, which are not those of the other results."""
    result = build_result("exp5_L2_K8", experiment="exp5", epochs=EPOCHS, data={"name": "mine"})
    mistakes = [Mistake(index=x, label=0, predicted=1, probability=0.9) for x in range(3)]
    test = {"data_sha256": "e" * 64, "mistakes": mistakes, "num_images": 60}
    test |= {"confusion": [[27, 3], [0, 30]], "class_accuracy": [90.0, 100.0], "accuracy": 95.0}
    return result.model_copy(update={"test": result.test.model_copy(update=test)})


@pytest.fixture(scope="module")
def page(results, prepared, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("explore") / "explore.html"
    write_page(path, tabulate(results, {"exp1_1": ["exp1_1_L32_K32"]}), prepared=[prepared])
    return path


def read_data(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return json.loads(found)


def list_attacked_results():
    """Return results that no file could hold: text that is markup wherever there is text."""
    for attack in ATTACKS:
        result = build_result(RUN, epochs=EPOCHS)
        names = {"name": f"run {attack}", "experiment": attack, "model": attack}
        training = {**result.config["training"], "optimizer": attack}
        config = {**result.config, **names, "training": training}
        layers = result.layers.model_copy(update={"names": [attack] * len(result.layers.names)})
        yield result.model_copy(update={"config": config, "layers": layers, "same_as": attack})


def test_a_run_has_the_values_of_its_results(page, results, prepared):
    data = read_data(page)
    run = next(run for run in data["runs"] if run["name"] == RUN)
    own = [result for result in results if result.name == RUN]
    assert [seed["seed"] for seed in run["seeds"]] == [str(result.seed) for result in own]
    assert run["test"] == pytest.approx(sum(x.test.accuracy for x in own) / len(own))
    assert sum(map(sum, run["confusion"])) == sum(x.test.num_images for x in own)
    for seed, result in zip(run["seeds"], own, strict=True):
        curves = dict(zip(data["curves"], seed["curves"], strict=True))
        layers = dict(zip(data["quantities"], seed["layers"]["values"], strict=True))
        for shown, recorded, precision in (
            (curves, result.epochs, 1e-4),
            (layers, result.layers, 1e-2),
        ):
            for name, values in shown.items():  # None becomes NaN
                found, expected = (np.array(x, float) for x in (values, getattr(recorded, name)))
                np.testing.assert_allclose(found, expected, rtol=precision)
    assert len(run["mistakes"]) == PICTURES
    (images,) = data["images"]
    assert run["images"] == 0
    assert {str(index) for index, *_ in run["mistakes"]} <= images["pictures"].keys()
    assert images["classes"] == list(prepared.classes)


def test_only_settings_that_differ_are_kept_with_a_value_for_each_run(page):
    data = read_data(page)
    settings = data["settings"]
    assert "training.batch_size" not in settings
    for values in settings.values():
        assert len(values) == len(data["runs"])
        assert len(set(values)) > 1
    names = [run["name"] for run in data["runs"]]
    assert settings["architecture.layers_per_block"][names.index(RUN)] == "8"


def test_images_and_class_names_of_other_data_are_not_shown(results, prepared):
    other = replace(prepared, sha256="e" * 64)
    (images,) = describe_study(tabulate(results[-3:]), prepared=[other])["images"]
    assert images == {"classes": list("0123456789"), "pictures": {}}
    few = replace(prepared, test_images=prepared.test_images[:2])
    (images,) = describe_study(tabulate(results[-3:]), prepared=[few, other])["images"]
    assert images["classes"] == list(prepared.classes)
    assert images["pictures"].keys() == {0, 1}


def test_each_run_has_the_classes_and_pictures_of_its_own_images(other_data, prepared):
    study = tabulate([build_result(RUN, epochs=EPOCHS), other_data])
    own = replace(prepared, sha256="e" * 64, classes=("red", "green"))
    for known, classes in (([prepared], ["0", "1"]), ([own, prepared], ["red", "green"])):
        data = describe_study(study, prepared=known)
        first, second = (data["images"][run["images"]] for run in data["runs"])
        assert first["classes"] == list(prepared.classes)
        assert second["classes"] == classes
        assert first["pictures"]
        assert bool(second["pictures"]) == (len(known) == 2)
        assert {"cifar10", "mine"} == set(data["settings"]["data.name"])


def test_the_script_reads_the_images_of_the_runs(tiny_values, tiny_manifest, write_run):
    """These are not those of ``data`` at the top of config.yaml."""
    shutil.copytree(tiny_manifest.parent, "data/generated_400_100")
    write_run()
    question = dict.fromkeys(("question", "varies", "fixed"), "?")
    tiny = {key: value for key, value in tiny_values.items() if key != "experiment"} | question
    config = {"experiments": {"tiny": tiny}, "study": {"only": ["tiny"]}}
    Path("mine.yaml").write_text(json.dumps(config), encoding="utf-8")
    script = Path(__file__).parents[2] / "workflow_scripts" / "make_explore.py"
    subprocess.run([sys.executable, script, "--configfile", "mine.yaml"], check=True)
    (images,) = read_data(Path(EXPLORE))["images"]
    assert images["classes"] == list("abcdefghij")
    assert list(images["pictures"]) == ["3"]


def test_mistakes_on_other_images_are_not_counted_together(prepared):
    first, second = (build_result(RUN, seed=seed, epochs=EPOCHS) for seed in (0, 1))
    few = {"data_sha256": "e" * 64, "confusion": [[1, 0], [0, 1]]}
    stale = second.model_copy(update={"test": second.test.model_copy(update=few)})
    (run,) = describe_study(tabulate([first, stale]), prepared=[prepared])["runs"]
    assert run["confusion"] == first.test.model_dump()["confusion"]


def test_classes_and_mistakes_are_of_the_seeds_that_trained():
    failed = build_result(RUN, seed=0, epochs=EPOCHS, status="at_chance")
    trained = [build_result(RUN, seed=x, epochs=EPOCHS, best_validation=70.0 + x) for x in (1, 2)]
    results = [failed, *trained]
    for seed, result in enumerate(results):
        mistake = result.test.mistakes[0].model_copy(update={"index": seed})
        result.test.mistakes[:] = [mistake]
    (run,) = describe_study(tabulate(results))["runs"]
    own = [result.test for result in trained]
    assert run["tested"] == ["2", "1"]  # the best by validation first
    assert [index for index, *_ in run["mistakes"]] == [2]
    np.testing.assert_array_equal(run["confusion"], np.sum([x.confusion for x in own], axis=0))
    correct = 100 * np.trace(run["confusion"]) / np.sum(run["confusion"])
    assert run["test"] == pytest.approx(correct)
    (run,) = describe_study(tabulate([failed]))["runs"]
    assert run["tested"] == ["0"]
    assert run["confusion"] == failed.test.confusion


def test_a_study_without_results_and_one_that_diverged_are_pages(tmp_path):
    for name, results in {"none": [], "lost": [build_result("a_L2", status="diverged")]}.items():
        write_page(tmp_path / f"{name}.html", tabulate(results))
    (lost,) = read_data(tmp_path / "lost.html")["runs"]
    assert lost["test"] is None
    assert lost["seeds"][0]["curves"][0][-1] is None
    assert read_data(tmp_path / "none.html")["runs"] == []


def test_no_text_of_a_result_is_markup(tmp_path):
    path = tmp_path / "explore.html"
    write_page(path, tabulate(list(list_attacked_results())))
    text = path.read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 2
    assert "hit" in text
    for word in ("<img", "<!--", "<svg onload", "\u2028"):
        assert word not in text
    assert {run["experiment"] for run in read_data(path)["runs"]} == set(ATTACKS)


def test_unfinished_runs_are_marked(results, tiny_spec, monkeypatch):
    curve = [20.0, 30.0]
    epochs = Epochs(**dict.fromkeys(Epochs.model_fields, curve))
    study = tabulate([result for result in results if result.name == RUN])
    begun = [Unfinished(tiny_spec, seed, epochs, None) for seed in (0, 1)]
    done, run = describe_study(study, begun)["runs"]
    assert done["unfinished"] == ""
    assert run["unfinished"] == "seed 0: epoch 2 of 3, seed 1: epoch 2 of 3"
    assert (run["validation"], run["test"], run["convolutions"]) == (30.0, None, 2)
    assert all(seed["unfinished"] for seed in run["seeds"])
    assert run["parameters"] > 0
    assert run["mflops"] > 0
    unknown = Work(0, 0, 0)  # of an architecture of one's own
    monkeypatch.setattr("hw2core.analysis.explore.data.count_work", lambda *_: unknown)
    _, run = describe_study(study, begun)["runs"]
    assert run["parameters"] is run["mflops"] is None


def test_a_setting_that_a_result_leaves_out_has_its_default():
    networks = {"a": {}, "b": {"kernel_size": 5}, "c": {"dropout": 0.2}}
    results = [build_result(f"exp3_{x}_L2_K32", network=y) for x, y in networks.items()]
    settings = describe_study(tabulate(results))["settings"]
    assert settings["architecture.kernel_size"] == ["3", "5", "3"]
    assert settings["architecture.dropout"] == ["0", "0", "0.2"]


def test_stale_results_are_marked_and_left_out_where_others_are_current(results, tmp_path):
    study = tabulate(results)
    reason = "training.lr: was 0.1, is 0.2"
    stale = {(RUN, 1): reason, (OTHER, 0): reason, (OTHER, 1): "code of a changed"}
    shown = {run["name"]: run for run in describe_study(study, stale=stale)["runs"]}
    alone = [x for x in results if x.name != RUN or x.seed == 0]
    (expected,) = (x for x in describe_study(tabulate(alone))["runs"] if x["name"] == RUN)
    assert shown[RUN] == expected | {"stale": f"seed 1: {reason}; left out"}
    assert shown[OTHER]["trained"] == "2 of 2"
    assert shown[OTHER].pop("stale") == f"seed 0: {reason}; seed 1: code of a changed"
    assert {run["stale"] for name, run in shown.items() if name not in (RUN, OTHER)} == {""}
    for each, notes in ((stale, 1), ({}, 0)):
        write_page(tmp_path / "page.html", study, stale=each)
        assert (tmp_path / "page.html").read_text().count("3 results are stale: ") == notes


def move(browser, kind, x, y, **options):
    browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **options)


def drag(browser, start, end):
    button = {"button": "left", "clickCount": 1}
    move(browser, "mousePressed", *start, **button)
    move(browser, "mouseMoved", *end, buttons=1, **button)
    move(browser, "mouseReleased", *end, **button)


def locate(browser, selector):
    return browser.evaluate(
        f"(() => {{ const element = document.querySelector('{selector}');"
        "element.scrollIntoView({block: 'center'}); const box = element.getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )


def list_chosen(browser):
    return browser.evaluate(
        "[...document.querySelectorAll('#chosen button')].map((each) => each.dataset.run)"
    )


# The corners of a line, in pixels of the window.
CORNERS = """(() => {{
  const line = document.querySelector('[data-panel={0}] path[data-run="{1}"][data-seed="{2}"]');
  line.scrollIntoView({{block: 'center'}});
  const matrix = line.getScreenCTM();
  return [...line.getAttribute('d').matchAll(/[ML]([\\d.]+) ([\\d.]+)/g)].map((corner) => {{
    const point = new DOMPoint(corner[1], corner[2]).matrixTransform(matrix);
    return [point.x, point.y];
  }});
}})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_is_as_wide_as_the_window_and_loads_nothing(browser, page, width, theme):
    browser.assert_fits(page, width, theme)
    pictures = [request for request in browser.requests if request.startswith("data:image/webp")]
    assert len(pictures) >= PICTURES
    assert [request for request in browser.requests if request not in pictures] == [page.as_uri()]
    assert len(list_chosen(browser)) > 2  # the best run of each experiment
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (theme == "light")


@pytest.mark.parametrize("width", [390, 1400])
def test_a_click_on_a_point_shows_the_curves_of_its_result(browser, page, results, width):
    browser.open(page, width)
    place = locate(browser, f'circle[data-run="{RUN}"]')
    drag(browser, place, place)
    assert list_chosen(browser) == [RUN]
    assert browser.evaluate("location.hash") == f"#{RUN}"
    assert browser.evaluate("document.querySelectorAll('#table tbody tr').length") == 1
    for result in (result for result in results if result.name == RUN):
        for name, curve in result.epochs:
            corners = browser.evaluate(CORNERS.format(name, RUN, result.seed))
            assert len(corners) == len(curve)
            for epoch, (corner, value) in enumerate(zip(corners, curve, strict=True), start=1):
                move(browser, "mouseMoved", *corner)
                tip = browser.evaluate("document.querySelector('#tip').textContent")
                where, _, shown = tip.rpartition(": ")
                assert where == f"{RUN}, seed {result.seed}\nepoch {epoch}"
                unit = " %" if name.endswith("accuracy") else ""
                assert shown.endswith(unit)
                assert float(shown.removesuffix(unit)) == pytest.approx(
                    value, rel=1e-4, abs=0.006 * bool(unit)
                )
    assert browser.problems == []


def test_the_address_selects_runs_and_experiments(browser, page):
    browser.open(page, 1400)
    browser.evaluate(f"location.hash = '{RUN},{OTHER}'")
    settle(browser)
    assert list_chosen(browser) == [RUN, OTHER]
    browser.evaluate("location.hash = 'exp1_3'")
    settle(browser)
    assert [name.startswith("exp1_3_") for name in list_chosen(browser)] == [True] * 4
    assert browser.evaluate("document.querySelector('#note').hidden")
    for name in ("nothing", "__proto__", "constructor", "<img src=x onerror=1>", "%"):
        browser.evaluate(f"location.hash = '{RUN},{name}'")
        settle(browser)
        assert list_chosen(browser) == [RUN]
        assert browser.evaluate("document.querySelector('#note').textContent").startswith("Not on")
    assert browser.problems == []


def settle(browser):
    browser.evaluate("new Promise((done) => setTimeout(done, 50))", wait=True)


def test_a_drag_selects_and_what_is_added_stays(browser, page):
    browser.open(page, 1400)
    box = browser.evaluate(
        "(() => { const box = document.querySelector('#points').getBoundingClientRect();"
        "return [box.left, box.top, box.right, box.bottom]; })()"
    )
    drag(browser, (box[0] + 1, box[1] + 1), (box[2] - 1, box[3] - 1))
    points = browser.evaluate("document.querySelectorAll('#points circle').length")
    assert browser.evaluate("chosen.length") == points > 30
    browser.evaluate("document.querySelector('#none').click()")
    assert list_chosen(browser) == []
    assert browser.evaluate("document.querySelectorAll('#table tbody tr').length") >= points
    browser.evaluate("document.querySelector('#add').click()")
    for name in (RUN, OTHER):
        place = locate(browser, f'circle[data-run="{name}"]')
        drag(browser, place, place)
    assert list_chosen(browser) == [RUN, OTHER]


def test_two_runs_are_compared_by_class_and_the_slider_moves_layers(browser, page, results):
    browser.open(page, 1400)
    browser.evaluate(f"choose(['{RUN}', '{OTHER}'])")
    assert browser.evaluate("document.querySelector('#second').value") == OTHER
    cells = "[...document.querySelectorAll('#confusion .name')].map((cell) => cell.textContent)"
    run, other = (
        np.sum([x.test.confusion for x in results if x.name == name], axis=0)
        for name in (RUN, OTHER)
    )
    expected = 100 * (run - other) / run.sum(axis=1, keepdims=True)
    assert np.abs(expected).max() > 1
    shown = [float(cell.replace("\u2212", "-")) for cell in browser.evaluate(cells)]
    np.testing.assert_allclose(np.reshape(shown, expected.shape), expected, atol=0.051)
    assert browser.evaluate("document.querySelectorAll('#mistakes img').length") == 2 * PICTURES
    reading = browser.evaluate("document.querySelector('#reading').textContent")
    assert reading.endswith(f"Counted: {RUN}, seeds 0, 1; {OTHER}, seeds 0, 1.")
    best = max((x for x in results if x.name == RUN), key=lambda x: x.validation_accuracy)
    heads = browser.evaluate(
        "[...document.querySelectorAll('#mistakes h3')].map((x) => x.innerText)"
    )
    assert heads[0] == f"Most confident mistakes of {RUN}, seed {best.seed}"
    line = f"""document.querySelector('[data-panel=dead_fraction] [data-run="{RUN}"]')"""
    last = browser.evaluate(f"{line}.getAttribute('d')")
    browser.evaluate(
        "(() => { const slider = document.querySelector('#epochs'); slider.value = 0;"
        "slider.dispatchEvent(new Event('input')); })()"
    )
    assert browser.evaluate(f"{line}.getAttribute('d')") != last
    assert browser.problems == []


def test_a_class_without_test_images_has_no_shares_on_the_page(browser, tmp_path, other_data):
    update = {"confusion": [[27, 3], [0, 0]], "class_accuracy": [90.0, None]}
    test = other_data.test.model_copy(update=update)
    path = tmp_path / "explore.html"
    write_page(path, tabulate([other_data.model_copy(update={"test": test})]))
    browser.open(path, 1400)
    browser.evaluate('choose(["exp5_L2_K8"])')
    count = "document.querySelectorAll('{}').length"
    assert browser.evaluate(count.format("#confusion .name")) == 2
    assert browser.evaluate(count.format("#accuracies circle")) == 1
    assert browser.problems == []


@pytest.mark.parametrize("names", [["exp5_L2_K8"], ["exp5_L2_K8", RUN], [RUN, "exp5_L2_K8"]])
def test_runs_on_other_images_keep_to_their_own_classes(
    browser, tmp_path, other_data, prepared, names
):
    path = tmp_path / "explore.html"
    study = tabulate([build_result(RUN, epochs=EPOCHS), other_data])
    write_page(path, study, prepared=[prepared])
    browser.open(path, 1400)
    browser.evaluate(f"choose({names})")
    reading = browser.evaluate("document.querySelector('#reading').textContent")
    cells = browser.evaluate("document.querySelectorAll('#confusion .name').length")
    if len(names) == 1:
        assert cells == 2 * 2
        assert "Counted: exp5_L2_K8, seed 0." in reading
    else:
        assert cells == 0
        assert reading.startswith(f"{names[0]} and {names[1]} were tested on different images")
    # Each run has its own mistakes, and only one of them the pictures.
    heads = browser.evaluate(
        "[...document.querySelectorAll('#mistakes h3')].map((x) => x.innerText)"
    )
    for name, head in zip(names, heads, strict=True):
        assert head.startswith(f"Most confident mistakes of {name}, seed 0")
        assert ("images were not there" in head) == (name != RUN)
    pictures = browser.evaluate("document.querySelectorAll('#mistakes img').length")
    assert pictures == PICTURES * (RUN in names)
    captions = "[...document.querySelectorAll('#mistakes figcaption')].map((x) => x.innerText)"
    assert browser.evaluate(captions).count("1 (90.0 %), is 0") == 3
    rows = "[...document.querySelectorAll('#table tbody tr')].map((row) => row.dataset.run)"
    assert set(browser.evaluate(rows)) == set(names)
    place = locate(browser, 'circle[data-run="exp5_L2_K8"]')
    move(browser, "mouseMoved", *place)
    assert "data set: mine" in browser.evaluate("document.querySelector('#tip').textContent")
    assert browser.problems == []


def test_the_table_is_sorted(browser, page):
    browser.open(page, 1400)
    browser.evaluate("choose([...runs.keys()])")
    browser.assert_sorts("#table", 6)


def test_a_forged_result_runs_no_script(browser, tmp_path):
    path = tmp_path / "explore.html"
    results = [*list_attacked_results(), build_result(RUN, epochs=EPOCHS)]
    write_page(path, tabulate(results))
    browser.open(path, 1400)
    browser.evaluate("choose([...runs.keys()])")
    place = locate(browser, f'circle[data-run="{RUN}"]')
    move(browser, "mouseMoved", *place)
    assert browser.evaluate("document.title") == "Explore the runs"
    assert browser.evaluate("document.querySelectorAll('script').length") == 2
    assert len(list_chosen(browser)) == len(results)
    assert browser.problems == []
