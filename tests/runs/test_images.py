from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hw2core.config.images import DataSpec
from hw2core.data.arrays import Arrays
from hw2core.data.prepared import DataError, read_manifest
from hw2core.data.registry import DATA_SETS, DataSet
from hw2core.runs import code_hash, images, imports, paths
from hw2core.runs.files import ResultError
from hw2core.runs.images import (
    check_same_images,
    explain_images,
    explain_unprepared,
    prepare_images,
)

IMAGES_OF_TWO = np.zeros((2, 32, 32, 3), np.uint8)
MANIFEST = Path(paths.manifest_path("mine"))


def read_mine(*, root: Path, download_dir: Path) -> Arrays:
    """Read all pixels of an image from one byte; the last image is for the test."""
    values = [path.read_bytes()[0] for path in sorted(root.glob("*/*.byte"))]
    pixels = np.full((len(values), 32, 32, 3), 255, np.uint8)
    pixels[:, 1:] = np.array(values, np.uint8)[:, None, None, None]
    labels = (np.arange(len(values)) % 2).astype(np.uint8)
    return Arrays(pixels[:-1], labels[:-1], pixels[-1:], labels[-1:], ("a", "b"))


def write(root: Path, *values: int) -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    for place, value in enumerate(values):
        (root / f"images/{place}.byte").write_bytes(bytes([value]))
    return root


@pytest.fixture
def mine(in_folder, tmp_path_factory, monkeypatch) -> DataSpec:
    """A data set without checksums, prepared from five small files."""
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(read_mine=read_mine))
    entry = DataSet("Mine", "mine:read_mine", (4, 1), 2, files=("images/*.byte",))
    monkeypatch.setitem(DATA_SETS, "mine", entry)
    monkeypatch.setattr(images, "hash_image_code", lambda name: f"code of {name}")
    root = write(tmp_path_factory.mktemp("root"), 1, 2, 3, 4, 5)
    spec = DataSpec(name="mine", train=2, validation=2, test=1, root=root)
    prepare_images(spec, MANIFEST.parent)
    return spec


def test_prepared_images_are_current_until_original_files_change(mine):
    assert explain_images(mine) == explain_unprepared(mine) == []
    write(mine.root, 9)
    assert explain_images(mine) == [f"{mine.root}: the original images changed"]
    write(mine.root, 1)  # with a new time
    assert explain_images(mine) == []
    write(mine.root, 1, 2, 3, 4, 5, 6)
    assert explain_images(mine) == [f"{mine.root}: the original images changed"]
    (mine.root / "images/0.byte").unlink()
    prepare_images(mine, MANIFEST.parent)
    assert explain_images(mine) == []


@pytest.mark.parametrize("replaced", [True, False])
def test_files_with_the_size_and_time_of_the_old_ones_are_read(mine, replaced):
    """As those that come from an archive, or from a copy that keeps times."""
    path = mine.root / "images/0.byte"
    before = path.stat()
    if replaced:
        path.rename(mine.root / "old")
    write(mine.root, 9)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert explain_images(mine) == [f"{mine.root}: the original images changed"]


def test_folders_that_a_pattern_matches_hide_no_change(mine):
    (mine.root / "images/.checkpoints.byte").mkdir()
    assert explain_images(mine) == []
    write(mine.root, 9)
    assert explain_unprepared(mine) == [f"{mine.root}: the original images changed"]


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("place", ["labels.csv", "../labels.csv", "deep/labels.csv"])
def test_a_file_that_is_read_and_not_listed_is_pointed_out(
    mine, tmp_path, monkeypatch, place, linked
):
    if linked:
        (tmp_path / "project").mkdir()
        (tmp_path / "project/images").symlink_to(mine.root)
        mine = mine.model_copy(update={"root": tmp_path / "project/images"})
    labels = mine.root.parent / "labels.csv" if place.startswith("..") else mine.root / place
    passing = [mine.root / ".cache/fonts", mine.root / "module.py", tmp_path / "a/elsewhere.txt"]

    def read(*, root: Path, download_dir: Path) -> Arrays:
        for path in [labels, *passing, Path(sys.prefix, "pyvenv.cfg")]:
            if path.is_file():
                path.read_bytes()
        (root / "written.log").write_text("")
        return read_mine(root=root, download_dir=download_dir)

    for path in (labels, *passing):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(read_mine=read))
    problem = f"^Mine: its reader reads {labels}, which `files` in .* does not list: edits would"
    with pytest.warns(UserWarning, match=problem):
        prepare_images(mine, MANIFEST.parent)
    assert explain_images(mine) == []
    labels.unlink()
    prepare_images(mine, MANIFEST.parent)  # without a warning


def test_a_pattern_of_which_nothing_is_left_hides_no_change_of_the_others(mine, monkeypatch):
    notes = mine.root / "LICENSE.txt"
    notes.write_text("free")
    files = ("LICENSE.txt", *mine.entry.files)
    monkeypatch.setitem(DATA_SETS, "mine", mine.entry._replace(files=files))
    changed = [f"{mine.root}: the original images changed"]
    assert explain_images(mine) == explain_unprepared(mine) == changed  # a new name
    prepare_images(mine, MANIFEST.parent)
    notes.rename(mine.root / "LICENSE.md")
    assert explain_images(mine) == explain_unprepared(mine) == []
    write(mine.root, 9)
    assert explain_images(mine) == explain_unprepared(mine) == changed
    with pytest.raises(DataError, match=r"LICENSE\.txt: No such file"):
        prepare_images(mine, MANIFEST.parent)
    write(mine.root, 1)
    typo = (*mine.entry.files, "label.csv")
    monkeypatch.setitem(DATA_SETS, "mine", mine.entry._replace(files=typo))
    assert explain_images(mine) == changed


@pytest.mark.parametrize("pattern", ["**/*.byte", "**/deep/**/*.byte"])
def test_files_in_a_linked_folder_are_read(mine, tmp_path_factory, monkeypatch, pattern):
    monkeypatch.setitem(DATA_SETS, "mine", mine.entry._replace(files=(pattern,)))
    scratch = write(tmp_path_factory.mktemp("scratch"), 6)
    (mine.root / "deep").mkdir()
    for link in ("more", "deep/linked"):
        (mine.root / link).symlink_to(scratch / "images")
    (mine.root / "images/4.byte").unlink()
    for folder in (mine.root / "images", scratch / "images"):
        (folder / "loop").symlink_to(mine.root)
    prepare_images(mine, MANIFEST.parent)
    assert explain_images(mine) == []
    write(scratch, 7)
    assert explain_images(mine) == [f"{mine.root}: the original images changed"]


def test_a_name_that_is_not_utf_8_is_a_name(mine):
    """As from an archive that was made on another system."""
    try:
        (mine.root / "images/0.byte").rename(mine.root / "images" / os.fsdecode(b"\xe9.byte"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert explain_images(mine) == [f"{mine.root}: the original images changed"]
    prepare_images(mine, MANIFEST.parent)
    assert explain_images(mine) == []


def test_files_that_cannot_be_read_count_as_unchanged_and_lose_nothing(mine, monkeypatch):
    before = {path: path.read_bytes() for path in MANIFEST.parent.iterdir()}
    away = mine.root.rename(mine.root.with_name("away"))
    assert explain_images(mine) == []
    with pytest.raises(DataError, match=r"No such file.* give the folder of Mine as data.root or"):
        prepare_images(mine, MANIFEST.parent)
    assert {path: path.read_bytes() for path in MANIFEST.parent.iterdir()} == before
    (mine.root / "images").mkdir(parents=True)
    os.mkfifo(mine.root / "images/0.byte")
    monkeypatch.setattr(images, "hash_image_code", lambda name: "edited")
    assert explain_unprepared(mine) == []
    MANIFEST.unlink()
    assert explain_images(mine) == explain_unprepared(mine) == []
    assert away.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda right: {"train_labels": right.train_labels.astype(np.int64)},
            r"train_labels must be uint8 \(4,\), got int64 \(4,\)",
        ),
        (
            lambda right: {"test_images": right.test_images[:, :28, :28]},
            r"test_images must be uint8 \(N, 32, 32, 3\) .* \(1, 28, 28, 3\)",
        ),
        (lambda right: {"train_labels": right.train_labels + np.uint8(1)}, "0..1, got 2"),
        (
            lambda right: {"test_images": IMAGES_OF_TWO, "test_labels": np.zeros(2, np.uint8)},
            r"4 \+ 2 images were read, and its entry in .*registry.py says 4 \+ 1",
        ),
        (
            lambda right: {"train_labels": np.array([0, 1, 1, 1], np.uint8)},
            "only 2 training images can be drawn .*; give its entry in .* balanced=2",
        ),
        (
            lambda right: {"train_images": right.train_images * np.array([1, 0, 1], np.uint8)},
            "channel 1 of the training images has the same value everywhere",
        ),
    ],
)
def test_wrong_images_are_refused_in_one_line_and_lose_nothing(mine, monkeypatch, change, problem):
    right = read_mine(root=mine.root, download_dir=mine.root)
    wrong = right._replace(**change(right))
    monkeypatch.setattr(sys.modules["mine"], "read_mine", lambda **_: wrong)
    before = {path: path.read_bytes() for path in MANIFEST.parent.iterdir()}
    with pytest.raises(DataError, match=f"^Mine: .*{problem}$"):
        prepare_images(mine, MANIFEST.parent)
    assert {path: path.read_bytes() for path in MANIFEST.parent.iterdir()} == before


def test_another_folder_with_the_same_files_is_the_same_source(mine, tmp_path, monkeypatch):
    same, other = write(tmp_path / "same", 1, 2, 3, 4, 5), write(tmp_path / "other", 1, 2, 3, 4, 6)
    assert explain_images(mine.model_copy(update={"root": same})) == []
    there = mine.model_copy(update={"root": other})
    assert explain_images(there) == [f"{other}: the original images changed"]
    anywhere = mine.model_copy(update={"root": None})
    assert explain_images(anywhere) == []  # nowhere
    monkeypatch.setenv("HW2_DATA", str(other))
    assert explain_images(anywhere) == [f"{other}: the original images changed"]
    sha256 = read_manifest(MANIFEST).sha256
    prepare_images(anywhere, MANIFEST.parent)
    assert read_manifest(MANIFEST).sha256 != sha256


@pytest.mark.parametrize(
    ("given", "meant"), [("other", "/start/other"), ("/x", "/x"), ("~/x", "/home/me/x"), ("", "")]
)
def test_a_relative_folder_is_meant_from_where_the_call_was_typed(monkeypatch, given, meant):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("HW2_DATA", given)
    images.fix_root("/start")
    assert os.environ["HW2_DATA"] == meant


def test_own_images_are_current_only_if_prepared_by_todays_code_from_todays_files(
    mine, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(images, "hash_image_code", lambda name: "edited")
        changed = ["the code that prepares the images changed"]
        assert explain_images(mine) == explain_unprepared(mine) == changed
    content = json.loads(MANIFEST.read_text())
    unprepared = "data/mine: its images are not prepared yet from the original files"
    for source in ({"kind": "Mine"}, {"kind": "Mine", images.CODE: "code of mine"}):
        MANIFEST.write_text(json.dumps(content | {"source": source}))  # of an older version
        assert explain_unprepared(mine)[-1] == unprepared
    MANIFEST.write_text("{")
    assert explain_images(mine) == explain_unprepared(mine) == [unprepared]
    MANIFEST.unlink()
    assert explain_images(mine) == explain_unprepared(mine) == [unprepared]


@pytest.mark.parametrize(("name", "fixed"), [("cifar10", True), ("generated", False)])
def test_images_of_an_older_version_are_prepared_again_unless_checksums_fix_them(
    in_folder, tiny_manifest, name, fixed
):
    spec = DataSpec(name=name, train=10, validation=10, test=10, root=in_folder)
    (in_folder / spec.entry.place).mkdir(exist_ok=True)
    assert explain_images(spec) == explain_unprepared(spec) == []  # none are prepared
    manifest = Path(paths.manifest_path(spec.folder))
    manifest.parent.mkdir(parents=True)
    content = json.loads(tiny_manifest.read_text()) | {"source": {"kind": name}}
    manifest.write_text(json.dumps(content))
    reasons = [] if fixed else ["the code that prepares the images changed"]
    assert explain_images(spec) == explain_unprepared(spec) == reasons


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "fashion_mnist", "generated"])
def test_an_edit_of_the_preparation_is_one_where_the_original_files_are_here(
    in_folder, tiny_manifest, monkeypatch, name
):
    spec = DataSpec(name=name, train=10, validation=10, test=10)
    assert explain_images(spec) == explain_unprepared(spec) == []  # none are prepared
    manifest = Path(paths.manifest_path(spec.folder))
    manifest.parent.mkdir(parents=True)
    source = {"kind": name, images.CODE: "of an older version"}
    manifest.write_text(json.dumps(json.loads(tiny_manifest.read_text()) | {"source": source}))
    reasons = ["the code that prepares the images changed"]
    monkeypatch.setenv("HW2_DATA", str(in_folder / "elsewhere"))
    assert explain_unprepared(spec) == (reasons if name == "generated" else [])
    assert explain_images(spec) == ([] if spec.entry.checksummed else reasons)
    (in_folder / "elsewhere" / spec.entry.place).mkdir(parents=True)
    assert explain_images(spec) == explain_unprepared(spec) == reasons


def test_the_code_of_a_data_set_is_its_reader_and_not_the_list_of_all(monkeypatch):
    before = {name: code_hash.hash_image_code(name) for name in DATA_SETS}
    assert len(set(before.values())) == len(before)
    read = code_hash.read_module

    def edit(*modules: str) -> None:
        code_hash.hash_image_code.cache_clear()
        edited = {imports.find_source(f"hw2core.data.{name}") for name in modules}
        monkeypatch.setattr(
            code_hash,
            "read_module",
            lambda path: ("edited", read(path)[1]) if path in edited else read(path),
        )

    edit("registry", "svhn")
    after = {name: code_hash.hash_image_code(name) for name in DATA_SETS}
    assert {name for name in before if after[name] != before[name]} == {"svhn"}
    edit("prepared")
    assert all(code_hash.hash_image_code(name) != before[name] for name in before)
    code_hash.hash_image_code.cache_clear()


def test_a_result_on_other_images_is_refused():
    result = SimpleNamespace(data_sha256="a" * 64)
    check_same_images(result, "seed0.json", "a" * 64)
    check_same_images(result, "seed0.json", None)  # none are prepared
    with pytest.raises(ResultError, match=r"seed0.json: the prepared images are not those of"):
        check_same_images(result, "seed0.json", "b" * 64)
