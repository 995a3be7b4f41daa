import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from hw2core.data.arrays import Arrays
from hw2core.data.prepared import (
    MANIFEST_FILE,
    PREPARED_FILES,
    DataError,
    load_prepared,
    read_manifest,
    write_prepared,
)


def make_arrays(seed=0):
    draw = np.random.default_rng(seed)
    parts = []
    for number in (30, 20):
        parts += [draw.integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)]
        parts += [draw.integers(0, 10, number, dtype=np.uint8)]
    return Arrays(*parts, classes=tuple("abcdefghij"))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    return write_prepared(make_arrays(), folder, name="toy", source={"kind": "test"}).parent


@pytest.fixture
def folder(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "copy")


def test_what_is_written_is_loaded_mapped_and_read_only(folder):
    arrays, data = make_arrays(), load_prepared(folder / MANIFEST_FILE)
    for name in Arrays._fields[:4]:
        loaded = getattr(data, name)
        assert isinstance(loaded, np.memmap)
        assert not loaded.flags.writeable
        np.testing.assert_array_equal(loaded, getattr(arrays, name))
    assert (data.name, data.classes) == ("toy", tuple("abcdefghij"))
    manifest = read_manifest(folder / MANIFEST_FILE)
    assert (manifest.sha256, manifest.mean, manifest.std) == (data.sha256, data.mean, data.std)
    assert manifest.source == {"kind": "test"}
    assert sorted(p.name for p in folder.iterdir()) == sorted([*PREPARED_FILES, MANIFEST_FILE])


@pytest.mark.parametrize("number", [30, 1100])
def test_mean_and_std_are_those_of_all_source_images(tmp_path, number):
    images = np.random.default_rng(2).integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)
    images[-100:] //= 4
    arrays = make_arrays()._replace(train_images=images, train_labels=np.zeros(number, np.uint8))
    manifest = read_manifest(write_prepared(arrays, tmp_path, name="toy", source={}))
    np.testing.assert_allclose(manifest.mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(manifest.std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-9)


def test_bytes_depend_on_the_arguments_only(folder, tmp_path):
    write_prepared(make_arrays(), tmp_path / "else" / "where", name="toy", source={"kind": "test"})
    for name in (*PREPARED_FILES, MANIFEST_FILE):
        other = tmp_path / "else" / "where" / name
        assert (folder / name).read_bytes() == other.read_bytes()


def test_sha256_follows_the_data_and_not_their_source(folder, tmp_path):
    same = write_prepared(make_arrays(), tmp_path / "a", name="toy", source={"kind": "other"})
    other = write_prepared(make_arrays(1), tmp_path / "b", name="toy", source={"kind": "test"})
    sha256 = read_manifest(folder / MANIFEST_FILE).sha256
    assert read_manifest(same).sha256 == sha256
    assert read_manifest(other).sha256 != sha256


def assert_refused(folder, file, **options):
    with pytest.raises(DataError) as caught:
        load_prepared(folder / MANIFEST_FILE, **options)
    message = str(caught.value)
    assert str(folder / file) in message
    assert f"delete the folder {folder} and run again" in message
    assert "\n" not in message


@pytest.mark.parametrize("file", [*PREPARED_FILES, MANIFEST_FILE])
def test_missing_truncated_grown_and_empty_files_are_named(folder, file):
    whole = (folder / file).read_bytes()
    for damaged in (whole[:-2], whole[: len(whole) // 2], whole[:50], b"", whole + b"x"):
        (folder / file).write_bytes(damaged)
        assert_refused(folder, file, verify=False)
    (folder / file).unlink()
    assert_refused(folder, file, verify=False)


def test_a_damaged_head_is_found_whatever_numpy_makes_of_it(folder):
    path = folder / PREPARED_FILES[1]
    whole = path.read_bytes()
    for place in range(0, 128, 3):
        path.write_bytes(whole[:place] + b"3" + whole[place + 1 :])
        assert_refused(folder, path.name)
    np.savez(folder / "a.npz", np.zeros(3))
    (folder / "a.npz").replace(path)
    assert_refused(folder, path.name)


def test_a_manifest_and_arrays_that_agree_on_no_data_set_are_refused(folder, monkeypatch):
    monkeypatch.setattr("hw2core.data.prepared.check_arrays", lambda arrays: None)
    arrays = make_arrays()
    write_prepared(arrays._replace(classes=("a",)), folder, name="toy", source={})
    monkeypatch.undo()
    assert_refused(folder, MANIFEST_FILE)


@pytest.mark.parametrize("file", PREPARED_FILES)
def test_a_flipped_bit_is_found(folder, file):
    content = bytearray((folder / file).read_bytes())
    content[-1] ^= 1
    (folder / file).write_bytes(content)
    assert_refused(folder, file)
    load_prepared(folder / MANIFEST_FILE, verify=False)  # not asked for: not read


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((30, 32, 32, 3), np.int8),
        np.zeros((30, 3, 32, 32), np.uint8),
        np.zeros((29, 32, 32, 3), np.uint8),
    ],
)
def test_another_shape_or_type_is_found(folder, array):
    np.save(folder / PREPARED_FILES[0], array)
    assert_refused(folder, PREPARED_FILES[0], verify=False)


def test_pickles_are_never_opened(folder, tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    path = folder / PREPARED_FILES[0]
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    assert_refused(folder, path.name)
    path.write_bytes(pickle.dumps(Harmful()))
    assert_refused(folder, path.name)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "change",
    [
        *({"format": 2}, {"mean": [0.5, 0.5, 0.5]}, {"std": [1, 2]}, {"sha256": "0" * 64}),
        *(
            {"classes": list("abcdefghik")},
            {"mean": [10**400, 1, 1]},
            {"arrays": {}},
            {"arrays": None},
            {"source": 3},
        ),
        *({"format": True}, {"format": 1.0}),
        *("[]", "3", "{}", "not JSON", '{"format": 1}'),
    ],
    ids=lambda change: str(change)[:30],
)
def test_a_changed_manifest_is_refused(folder, change):
    path = folder / MANIFEST_FILE
    if isinstance(change, dict):
        change = json.dumps(json.loads(path.read_text()) | change)
    path.write_text(change)
    assert_refused(folder, MANIFEST_FILE)


@pytest.mark.parametrize("change", [{"std": [0, 1, 1]}, {"mean": [0, 0, 1.5]}, {"mean": [0.5]}])
def test_impossible_numbers_are_refused_even_with_their_sha256(folder, change):
    path = folder / MANIFEST_FILE
    content = json.loads(path.read_text()) | change
    parts = [content[key] for key in ("arrays", "mean", "std", "classes")]
    text = json.dumps(parts, sort_keys=True)
    content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content))
    assert_refused(folder, MANIFEST_FILE)


def test_a_manifest_never_vouches_for_half_a_set(folder, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="No space"):
        write_prepared(make_arrays(1), folder, name="toy", source={})
    assert not (folder / MANIFEST_FILE).exists()


def test_arrays_that_are_no_data_set_are_refused(tmp_path):
    good = make_arrays()
    for bad, name in (
        (good._replace(train_images=good.train_images.astype(np.float32)), "train_images"),
        (good._replace(test_images=good.test_images.transpose(0, 3, 1, 2)), "test_images"),
        (good._replace(train_labels=good.train_labels[:-1]), "train_labels"),
        (good._replace(test_labels=good.test_labels + 10), "test_labels"),
        (good._replace(classes=("a", "b")), "classes"),
    ):
        with pytest.raises(ValueError, match=name):
            write_prepared(bad, tmp_path / "bad", name="toy", source={})
    assert not (tmp_path / "bad").exists()
