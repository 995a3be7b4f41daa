"""Data sets in small files of their real formats: SVHN and Fashion-MNIST."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io

pytest.importorskip("torchvision")
from torchvision.datasets import SVHN, FashionMNIST

from hw2core.config.images import DataSpec
from hw2core.data import fashion_mnist, svhn
from hw2core.data.datasets import prepare
from hw2core.data.fashion_mnist import read_fashion_mnist
from hw2core.data.prepared import DataError, load_prepared
from hw2core.data.registry import DATA_SETS
from hw2core.data.sources import ROOT_VARIABLE
from hw2core.data.svhn import read_svhn

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (5, 28, 28), dtype=np.uint8)


def hash_md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def svhn_root(tmp_path, monkeypatch):
    """Three training and two test images as MATLAB files; a zero is labelled 10."""
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    folder = tmp_path / "root"
    folder.mkdir()
    parts = {"train": (COLOUR[:3], [10, 1, 9]), "test": (COLOUR[3:], [2, 10])}
    for part, (images, labels) in parts.items():
        path = folder / f"{part}_32x32.mat"
        content = {"X": images.transpose(1, 2, 3, 0), "y": np.array([labels], np.uint8).T}
        scipy.io.savemat(path, content)
        entry = [SVHN.split_list[part][0], path.name, hash_md5(path)]
        monkeypatch.setitem(SVHN.split_list, part, entry)
    return folder


@pytest.fixture
def fashion_root(tmp_path, monkeypatch):
    """Three training and two test images as compressed IDX files."""
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    folder = tmp_path / "root" / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    resources = []
    for part, images, labels in (("train", GREY[:3], [9, 0, 1]), ("t10k", GREY[3:], [5, 9])):
        for kind, values in (("images-idx3", images), ("labels-idx1", np.uint8(labels))):
            path = folder / f"{part}-{kind}-ubyte.gz"
            head = struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape)
            path.write_bytes(gzip.compress(head + values.tobytes()))
            resources.append((path.name, hash_md5(path)))
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    return tmp_path / "root"


def test_svhn_has_its_digits_in_order(svhn_root):
    arrays = read_svhn(root=svhn_root, download_dir=svhn_root / "unused")
    np.testing.assert_array_equal(arrays.train_images, COLOUR[:3])
    np.testing.assert_array_equal(arrays.test_images, COLOUR[3:])
    assert (arrays.train_labels.tolist(), arrays.test_labels.tolist()) == ([0, 1, 9], [2, 0])
    assert arrays.classes == tuple("0123456789")
    assert arrays.train_labels.dtype == arrays.train_images.dtype == np.uint8


def test_fashion_mnist_is_padded_and_repeated(fashion_root):
    arrays = read_fashion_mnist(root=fashion_root, download_dir=fashion_root / "unused")
    for images, grey in ((arrays.train_images, GREY[:3]), (arrays.test_images, GREY[3:])):
        assert images.shape == (len(grey), 32, 32, 3)
        for channel in range(3):
            np.testing.assert_array_equal(images[:, 2:-2, 2:-2, channel], grey)
        assert images.sum() == 3 * grey.sum()  # the margin is black
    assert (arrays.train_labels.tolist(), arrays.test_labels.tolist()) == ([9, 0, 1], [5, 9])
    assert arrays.classes[9] == "Ankle boot"


@pytest.mark.parametrize("name", ["train_32x32.mat", "test_32x32.mat"])
def test_a_damaged_file_of_svhn_is_one_line(svhn_root, name):
    assert_damage(read_svhn, svhn_root, svhn_root / name)


@pytest.mark.parametrize("place", range(4))
def test_a_damaged_file_of_fashion_mnist_is_one_line(fashion_root, place):
    name, _ = FashionMNIST.resources[place]
    assert_damage(read_fashion_mnist, fashion_root, fashion_root / "FashionMNIST/raw" / name)


def assert_damage(read, root: Path, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    for problem in ("damaged: wrong md5", "No such file"):
        with pytest.raises(DataError) as caught:
            read(root=root, download_dir=root / "unused")
        assert f"{path}: {problem} ({root} is given as root); give" in str(caught.value)
        assert "\n" not in str(caught.value)
        path.unlink(missing_ok=True)
    assert not (root / "unused").exists()


@pytest.mark.parametrize(
    ("module", "read", "root", "count"),
    [(svhn, read_svhn, "svhn_root", 2), (fashion_mnist, read_fashion_mnist, "fashion_root", 4)],
)
def test_each_file_is_downloaded_with_its_checksum(
    request, monkeypatch, tmp_path, module, read, root, count
):
    source, asked = request.getfixturevalue(root), []

    def fetch(url: str, folder: Path, name: str, md5: str) -> None:
        asked.append((url.rpartition("/")[2], md5))
        folder.mkdir(parents=True, exist_ok=True)
        (path,) = source.rglob(name)
        (folder / name).write_bytes(path.read_bytes())
        assert hash_md5(folder / name) == md5

    monkeypatch.setattr(module, "download_url", fetch)
    there = tmp_path / "a/b/c"
    first = read(root=None, download_dir=there)
    assert len(asked) == count
    again = read(root=None, download_dir=there)
    assert len(asked) == count
    np.testing.assert_array_equal(first.train_images, again.train_images)

    def fail(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(module, "download_url", fail)
    with pytest.raises(DataError, match=r"the download from http.*no network.*HW2_DATA"):
        read(root=None, download_dir=tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["svhn", "fashion_mnist"])
def test_images_are_prepared_with_the_name_of_their_set(request, name, tmp_path):
    root = request.getfixturevalue("svhn_root" if name == "svhn" else "fashion_root")
    spec = DataSpec(name=name, train=10, validation=10, test=2, root=root)
    assert (spec.source_train, spec.source_test) == DATA_SETS[name].sizes
    data = load_prepared(prepare(spec, tmp_path / "prepared" / spec.folder))
    assert (data.name, data.source) == (name, {"kind": DATA_SETS[name].title})
    assert data.train_images.shape == (3, 32, 32, 3)
    assert data.mean[0] == pytest.approx(float(data.train_images[..., 0].mean()) / 255)


def test_a_set_of_other_classes_than_its_entry_is_refused(svhn_root, tmp_path, monkeypatch):
    monkeypatch.setitem(DATA_SETS, "svhn", DATA_SETS["svhn"]._replace(num_classes=9))
    spec = DataSpec(name="svhn", train=10, validation=10, test=2, root=svhn_root)
    with pytest.raises(DataError, match="SVHN: 10 classes were read, and its entry"):
        prepare(spec, tmp_path / "prepared")
