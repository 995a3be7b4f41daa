"""The published record, made of synthetic results of a small study."""

from __future__ import annotations

import tarfile
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from result_documents import build_result

from hw2core.analysis import published
from hw2core.analysis.public_record import read_public_record
from hw2core.analysis.published import PublishError, add_reduction, publish_record, sum_files
from hw2core.analysis.reference import read_reference
from hw2core.analysis.reference_table import BEGIN, END, FIGURE, read_block, write_block
from hw2core.analysis.tables import summary_table
from hw2core.config.reading import read_configs
from hw2core.config.study import CHECKOUT, load_study
from hw2core.runs import files, paths

SEEDS = (0, 1)
CHANGES = {"data": {"train": 20_000}, "training": {"epochs": 4}}
README = f"# A study\n\n{BEGIN}\nNothing yet.\n{END}\n\nThe end.\n"


class Place(NamedTuple):
    """A folder with results of a reduced study, and a checkout that gets their record."""

    root: Path
    configs: list[Path]

    def publish(self, configs=None, seeds=SEEDS):
        with chdir(self.root.parent):
            return publish_record(configs or self.configs, seeds, self.root)


def make_place(folder: Path) -> Place:
    root = folder / "checkout"
    root.mkdir()
    (root / "README.md").write_text(README)
    study = read_configs([CHECKOUT / "config.yaml"])
    grid = {"filters_per_layer": [[32]], "layers_per_block": [2, 4]}
    study["experiments"] = {"exp1_1": study["experiments"]["exp1_1"] | {"grid": grid}}
    configs = [folder / "config.yaml", folder / "cpu.yaml"]
    for path, values in zip(configs, (study, CHANGES), strict=True):
        path.write_text(yaml.safe_dump(values))
    with chdir(folder):
        for run, spec in load_study(read_configs(configs)).runs.items():
            for seed in SEEDS:
                depth = spec.architecture.layers_per_block
                result = build_result(run, depth=depth, seed=seed, config=spec.describe(seed))
                files.write_result(paths.result_path(run, seed), result)
                files.write_evaluation(paths.evaluation_path(run, seed), result.test)
    return Place(root, configs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = make_place(tmp_path_factory.mktemp("study"))
    made.publish()
    return made


def read_folder(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_record_holds_report_results_figures_and_what_it_was_made_with(place):
    folder = place.root / paths.REFERENCE
    figures = {f"figures/study_{kind}.png" for kind in paths.STUDY_FIGURES}
    files = read_folder(folder)
    assert set(files) == figures | {
        *("README.md", "SHA256SUMS", "report.html", "report.pdf", "results.tar.gz"),
        *("study.yaml", "summary.csv"),
    }
    assert files["study.yaml"] == place.configs[1].read_bytes()
    assert files["SHA256SUMS"].decode() == sum_files(folder)
    assert b"not been drawn.\n" not in files["report.html"]
    assert [path.name for path in folder.parent.iterdir()] == ["reference"]
    assert not (place.root.parent / "figures").exists()


def test_the_readme_of_the_project_shows_its_table_and_figure(place):
    text = (place.root / "README.md").read_text()
    reference = read_reference(place.root / paths.REFERENCE / paths.REFERENCE_TABLE)
    record = read_public_record(CHECKOUT / paths.PUBLIC_RECORD)
    assert read_block(text) == write_block(reference, record)
    assert (place.root / paths.REFERENCE / FIGURE).exists()
    assert text.startswith("# A study")
    assert text.endswith("The end.\n")


def test_a_reduced_record_says_in_what(place):
    facts = "4 of 20 epochs; 20,000 of 44,000 training images"
    files = read_folder(place.root / paths.REFERENCE)
    assert set(read_reference_facts(place)) == {facts}
    readme = files["README.md"].decode()
    assert "**This record is a reduced one.** Of its 4 trainings, 4 had less" in readme
    assert f"- {facts}: `exp1_1`" in readme
    assert "| exp1_1 | 2 | 2 | 20,000 | 6,000 | 10,000 | 4 |" in readme
    assert b"Reduced: 4 of 20 epochs; 20,000 of 44,000 training images" in files["report.html"]


def read_reference_facts(place):
    return read_reference(place.root / paths.REFERENCE / "summary.csv")["reduced"]


def test_a_run_that_only_the_changes_have_is_measured_by_the_images_of_the_study(place):
    planned = load_study(read_configs(place.configs[:1]))
    config = planned.runs["exp1_1_L2_K32"].describe(0) | {"name": "other"}
    config["data"]["train"] = 30_000
    result = build_result("other", config=config)
    facts = add_reduction(summary_table([result]), [result], planned)["reduced"]
    assert facts.tolist() == ["30,000 of 44,000 training images"]


def test_its_readme_names_the_commands(place):
    readme = (place.root / paths.REFERENCE / "README.md").read_text()
    files = "config.yaml report/reference/study.yaml"
    apart = "--directory output"
    assert f"snakemake --configfile {files} {apart} --config 'seeds=[0,1]'\n" in readme
    assert "mkdir -p output && tar -xzf report/reference/results.tar.gz -C output\n" in readme
    assert f"publish_reference.py --configfile {files} {apart} --seeds 0 1\n" in readme


def test_its_results_can_be_used_where_they_are_unpacked(place, tmp_path):
    with tarfile.open(place.root / paths.REFERENCE / paths.REFERENCE_RESULTS) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = sorted(tmp_path.rglob("*.json"))
    assert len(unpacked) == 8
    assert sum(path.name.endswith(".test.json") for path in unpacked) == 4
    for path in unpacked:
        assert path.read_bytes() == (place.root.parent / path.relative_to(tmp_path)).read_bytes()


def test_the_same_results_give_the_same_bytes(place):
    before = read_folder(place.root)
    place.publish()
    assert read_folder(place.root) == before


def test_a_fault_leaves_the_record_that_was_there(place, monkeypatch):
    before = read_folder(place.root)

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(published, "write_report", fail)
    with pytest.raises(OSError, match="disk is full"):
        place.publish()
    assert read_folder(place.root) == before


def test_results_of_another_configuration_are_refused(place):
    with pytest.raises(PublishError, match=r"exp1_1_L2_K32 seed 0: data\.train: was 20000, is 44"):
        place.publish(place.configs[:1])


def test_results_on_other_test_images_and_without_evaluation_are_refused(tmp_path):
    place = make_place(tmp_path)
    changes = place.configs[1]
    changes.write_text(yaml.safe_dump(CHANGES | {"data": {"train": 20_000, "test": 2_000}}))
    with pytest.raises(PublishError, match=r"L2_K32 seed 0: data\.test: was 10000, is 2000"):
        place.publish()
    changes.write_text(yaml.safe_dump(CHANGES))
    Path(tmp_path, paths.evaluation_path("exp1_1_L4_K32", 1)).unlink()
    with pytest.raises(PublishError, match="exp1_1_L4_K32 seed 1: not evaluated yet"):
        place.publish()


def test_runs_without_a_result_are_named(tmp_path):
    place = make_place(tmp_path)
    for seed in SEEDS:
        Path(tmp_path, paths.result_path("exp1_1_L4_K32", seed)).unlink()
    readme = (place.publish() / "README.md").read_text()
    assert "2 results, of 1 of 2 planned runs" in readme
    assert "Not in this record: `exp1_1_L4_K32`." in readme


def test_nothing_is_published_from_nothing_or_into_a_readme_without_a_place(tmp_path):
    place = make_place(tmp_path)
    with pytest.raises(PublishError, match="no result"):
        place.publish(seeds=(7,))
    (place.root / "README.md").write_text("# A study\n")
    with pytest.raises(PublishError, match=r"README\.md: no place for the results"):
        place.publish()
    assert [path.name for path in place.root.iterdir()] == ["README.md"]
