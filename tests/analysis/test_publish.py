"""Publishing the results of a made-up study, and the consistency of the published results here."""

from __future__ import annotations

import itertools
import tarfile
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from result_documents import build_result, tabulate

from hw2core.analysis import publish as publishing
from hw2core.analysis.publish import BEGIN, END, publish, write_block, write_overlay
from hw2core.analysis.reference_folder import PublishError, sum_files
from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import load, summarize, write_table
from hw2core.config.reading import read_config, read_configs
from hw2core.config.study import CHECKOUT, STUDY_FILE, load_study
from hw2core.data.generated import generate_images
from hw2core.data.prepared import read_manifest, write_prepared
from hw2core.errors import UserError
from hw2core.runs import files, paths
from hw2core.runs.weights import write_weights

SEEDS = (0, 1)
CHANGES = {"training": {"epochs": 4}}
README = f"# A study\n\n{BEGIN}\nNothing yet.\n{END}\n\nThe end.\n"
PUBLISHED = CHECKOUT / paths.REFERENCE


def plan(configs):
    """Load a study as the pipeline does: its sizes are compared with those of config.yaml."""
    return load_study(read_configs(configs)).compare_sizes(load_study(read_configs([STUDY_FILE])))


class Place(NamedTuple):
    """A folder with results and what the pipeline made of them, and a checkout."""

    root: Path
    configs: list[Path]

    def publish(self, configs=None, seeds=SEEDS, picture=None):
        with chdir(self.root.parent):
            return publish(configs or self.configs, seeds, self.root, picture)

    def run_pipeline(self):
        with chdir(self.root.parent):
            study = load(plan(self.configs).experiments.values())
            write_table(study.runs[list(SUMMARY_COLUMNS)], paths.SUMMARY_TABLE)
            pages = paths.REPORT, paths.REPORT_PDF, paths.EXPLORE
            for path in [*pages, *paths.study_figure_paths()]:
                Path(path).parent.mkdir(exist_ok=True)
                Path(path).write_text(f"made as {path}")


def make_place(folder: Path) -> Place:
    root = folder / "checkout"
    root.mkdir()
    (root / "README.md").write_text(README)
    study = read_configs([STUDY_FILE])
    grid = {"filters_per_layer": [[32]], "layers_per_block": [2, 4]}
    study["experiments"] = {"exp1_1": study["experiments"]["exp1_1"] | {"grid": grid}}
    study["seeds"] = list(SEEDS)
    configs = [folder / "config.yaml", folder / "cpu.yaml"]
    for path, values in zip(configs, (study, CHANGES), strict=True):
        path.write_text(yaml.safe_dump(values))
    with chdir(folder):
        for run, spec in load_study(read_configs(configs)).runs.items():
            for seed in SEEDS:
                depth = spec.architecture.layers_per_block
                result = build_result(
                    run, depth=depth, seed=seed, epochs=4, config=spec.describe(seed)
                )
                files.write_result(paths.result_path(run, seed), result)
                files.write_evaluation(paths.evaluation_path(run, seed), result.test)
    place = Place(root, configs)
    place.run_pipeline()
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = make_place(tmp_path_factory.mktemp("study"))
    made.publish()
    return made


def read_folder(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_what_the_pipeline_made_is_copied(place, tmp_path):
    published = read_folder(place.root / paths.REFERENCE)
    figures = {
        f"{paths.REFERENCE_FIGURES}/{Path(path).name}" for path in paths.study_figure_paths()
    }
    assert set(published) == figures | {
        *("SHA256SUMS", "explore.html", "report.html", "report.pdf", "results.tar.gz"),
        *("study.yaml", "summary.csv"),
    }
    seeds = {"seeds": list(SEEDS)}
    assert yaml.safe_load(published["study.yaml"]) == read_config(place.configs[1]) | seeds
    assert published["report.html"] == b"made as report/report.html"
    assert published["SHA256SUMS"].decode() == sum_files(place.root / paths.REFERENCE)
    with tarfile.open(place.root / paths.REFERENCE / paths.REFERENCE_RESULTS) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = read_folder(tmp_path)
    assert len(unpacked) == 8
    for name, content in unpacked.items():
        assert content == (place.root.parent / name).read_bytes()


def test_a_published_report_is_not_compared_with_the_publication_before(tmp_path):
    assert publishing.COMPARED.search((CHECKOUT / "report/page.html.j2").read_text())
    place = make_place(tmp_path)
    page = tmp_path / paths.REPORT
    section = '<details id="reference">\n<table>reproduced</table>\n</details>\n'
    kept = '<details id="machines">\n</details>\n'
    page.write_text(f"{kept}{section}{kept}")
    place.publish()
    assert (place.root / paths.REFERENCE / "report.html").read_text() == f"{kept}{kept}"


def test_the_readme_says_what_was_found_and_what_is_reduced(place):
    text = (place.root / "README.md").read_text()
    assert text.startswith("# A study")
    assert text.endswith("The end.\n")
    with chdir(place.root.parent):
        study = load(load_study(read_configs(place.configs)).experiments.values())
        reduced = load(plan(place.configs).experiments.values())
    assert write_block(reduced) in text
    assert "| reduced |" in write_block(reduced).replace("  ", " ")
    assert "| reduced |" not in write_block(study).replace("  ", " ")
    # The whole size is that of config.yaml in this checkout, which asks for 20 epochs.
    assert set(reduced.runs["reduced"]) == {"4 of 20 epochs"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [("training: {epoch: 9}", "training.epoch: "), (None, "over.yaml")],
)
def test_a_configuration_with_mistakes_is_no_plan(in_folder, text, problem):
    if text:
        Path("over.yaml").write_text(text)
    with pytest.raises(UserError, match=problem):
        publishing.check_plan([CHECKOUT / "config.yaml", Path("over.yaml")])


def test_of_runs_that_do_not_train_none_is_the_best():
    study = tabulate([build_result("exp1_1_L16_K32", depth=16, status="at_chance")])
    row = publishing.list_experiments(study).iloc[0]
    assert row["Train (all seeds)"] == "0 of 1"
    assert row["Best by validation"] == row["Test accuracy (%)"] == "–"


def test_the_best_run_of_an_experiment_is_that_of_validation():
    results = [
        build_result("exp1_1_L2_K32", depth=2, best_validation=91.0, test_accuracy=70.0),
        build_result("exp1_1_L4_K32", depth=4, best_validation=90.0, test_accuracy=75.0),
    ]
    study = tabulate(results)
    row = publishing.list_experiments(study).iloc[0]
    assert row["Best by validation"] == "`exp1_1_L2_K32`"
    assert row["Test accuracy (%)"] == "70.0"
    assert row["Hours per seed (estimated)"] == "0.1"
    assert publishing.show_hours([1.0, 1.5]) == "below 0.1"
    assert publishing.show_hours([60.0, None]) == "–"
    assert row["Public median, best (%)"] == "64.6, 72.6"


def test_the_same_results_give_the_same_bytes(place):
    before = read_folder(place.root)
    place.publish()
    assert read_folder(place.root) == before


def test_the_picture_of_the_explore_page_is_that_of_what_is_published(place, tmp_path):
    picture = tmp_path / "picture"
    picture.write_text("of the page")
    shown = f"{paths.REFERENCE}/{paths.REFERENCE_PICTURE}"
    for given in (picture, None):
        place.publish(picture=given)
        assert (place.root / shown).exists() == bool(given)
        assert (f"]({shown})]" in (place.root / "README.md").read_text()) == bool(given)


def test_what_is_published_is_the_study_that_its_overlay_describes(tmp_path):
    overlay, out = tmp_path / "overlay.yaml", tmp_path / "study.yaml"
    overlay.write_text("# Mine.\nexperiments: {a: {labels: {'off': {}, '0.10': {}}}}\nseeds: [3]\n")
    for overlays, seeds in itertools.product(([], [overlay]), ([], [1, 2])):
        write_overlay(out, overlays, seeds)
        wanted = (read_config(overlay) if overlays else {}) | ({"seeds": seeds} if seeds else {})
        assert read_config(out) == wanted
    write_overlay(out, [overlay], [])
    assert out.read_bytes() == overlay.read_bytes()


def test_a_fault_leaves_what_was_there(place, monkeypatch):
    before = read_folder(place.root)

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(publishing, "write_archive", fail)
    with pytest.raises(OSError, match="disk is full"):
        place.publish()
    assert read_folder(place.root) == before


def test_results_of_another_configuration_or_none_are_refused(place):
    with pytest.raises(PublishError, match=r"L2_K32 seed 0: training\.epochs: was 4, is 20"):
        place.publish(place.configs[:1])
    with pytest.raises(PublishError, match="no result"):
        place.publish(seeds=(7,))


@pytest.mark.parametrize(
    ("spoil", "file", "error"),
    [
        (Path.unlink, paths.evaluation_path("exp1_1_L4_K32", 1), "L4_K32 seed 1: not evaluated"),
        (Path.unlink, paths.result_path("exp1_1_L4_K32", 1), r"summary\.csv: from other results"),
        (Path.unlink, paths.REPORT, r"report\.html: missing"),
        (lambda path: path.write_text("# A study"), "checkout/README.md", r"README\.md: needs"),
    ],
)
def test_what_does_not_belong_together_is_refused(spoil, file, error, tmp_path):
    place = make_place(tmp_path)
    spoil(tmp_path / file)
    with pytest.raises(PublishError, match=error):
        place.publish()
    assert [path.name for path in place.root.iterdir()] == ["README.md"]


def test_published_networks_are_published_again(tmp_path):
    place = make_place(tmp_path)
    run, reference = "exp1_1_L2_K32", place.root / paths.REFERENCE
    weights = Path(paths.weights_path(run, 0))
    path = tmp_path / paths.result_path(run, 0)
    sha256 = write_weights(tmp_path / weights, {"a": torch.ones(3)})
    arrays = generate_images(10, 10)
    manifest = Path(paths.manifest_path("cifar10"))
    write_prepared(arrays, tmp_path / manifest.parent, name="cifar10", source={})
    data_sha256 = read_manifest(tmp_path / manifest).sha256
    hashes = {"weights_sha256": sha256, "data_sha256": data_sha256}
    files.write_result(path, files.read_result(path).model_copy(update=hashes))
    tested = tmp_path / paths.evaluation_path(run, 0)
    evaluation = files.read_evaluation(tested).model_copy(update={"weights_sha256": sha256})
    files.write_evaluation(tested, evaluation)
    place.run_pipeline()
    for name in (weights, manifest.with_name("cat.png")):
        (reference / name).parent.mkdir(parents=True)
        (reference / name).write_bytes(b"older")
    for other in ("more.tar.gz", "older/study/more.tar.gz"):
        (reference / other).parent.mkdir(parents=True, exist_ok=True)
        (reference / other).write_bytes(b"not made here")
    place.publish()
    for other in ("more.tar.gz", "older/study/more.tar.gz"):
        assert (reference / other).read_bytes() == b"not made here"
    assert (reference / paths.REFERENCE_SUMS).read_text() == sum_files(reference)
    expected = {weights, manifest, path.relative_to(tmp_path), tested.relative_to(tmp_path)}
    for name in expected:
        assert (reference / name).read_bytes() == (tmp_path / name).read_bytes()
    assert (reference / manifest.with_name("cat.png")).read_bytes() == b"older"

    for name in (weights, manifest):  # the published ones are as good
        (tmp_path / name).unlink()
    place.publish()
    assert {p for p in expected if (reference / p).exists()} == expected
    (reference / weights).write_bytes(b"another")
    with pytest.raises(PublishError, match=f"{weights}: not that of {run}; train it again"):
        place.publish()
    (reference / weights).parent.rename(reference / "results/gone")
    with pytest.raises(PublishError, match=r"results/gone/.*: of no result; delete its folder"):
        place.publish()


def test_a_file_of_ours_among_the_published_ones_stops_publishing_and_stays(tmp_path):
    place = make_place(tmp_path)
    folder = place.publish()
    own = folder / "figures" / "talk.svg"
    own.write_text("not made by the pipeline")
    (folder / "data" / "mine").mkdir(parents=True)
    (folder / "data" / "mine" / "manifest.json").write_text("of a network that was published")
    (folder / "figures" / ".DS_Store").write_text("of a file manager")
    before = read_folder(folder)
    with pytest.raises(
        PublishError, match=r"data/mine/manifest\.json, .*talk\.svg: not published again"
    ):
        place.publish()
    assert read_folder(folder) == before
    own.unlink()
    (folder / "data" / "mine" / "manifest.json").unlink()
    place.publish()
    assert not (folder / "figures" / ".DS_Store").exists()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    with tarfile.open(PUBLISHED / paths.REFERENCE_RESULTS) as archive:
        archive.extractall(folder, filter="data")
    changes = PUBLISHED / paths.REFERENCE_STUDY
    configs = [STUDY_FILE, *([changes] if changes.exists() else [])]
    with chdir(folder):
        return load(plan(configs).experiments.values())


def test_the_files_in_this_checkout_belong_together(published, tmp_path):
    assert (PUBLISHED / paths.REFERENCE_SUMS).read_text() == sum_files(PUBLISHED)
    write_table(published.runs[list(SUMMARY_COLUMNS)], tmp_path / "summary.csv")
    expected = (tmp_path / "summary.csv").read_bytes()
    assert (PUBLISHED / paths.REFERENCE_TABLE).read_bytes() == expected


def test_the_readme_of_this_checkout_says_what_the_published_results_say(published):
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    picture = (PUBLISHED / paths.REFERENCE_PICTURE).exists()
    assert write_block(published, picture=picture) in text
    trained = summarize(published.runs)
    assert (trained.loc[trained["reduced"] == "", "trained"] > 0).sum() >= 20
