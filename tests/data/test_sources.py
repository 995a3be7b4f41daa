"""Data sets in small files of their real formats, in a given folder or downloaded from a server."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import pkgutil
import shutil
import socket
import struct
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io

pytest.importorskip("torchvision")
from torchvision.datasets import CIFAR10, CIFAR100, SVHN, FashionMNIST

from hw2core.config.images import DataSpec
from hw2core.data import cifar
from hw2core.data.arrays import Arrays
from hw2core.data.datasets import prepare
from hw2core.data.generated import generate_images
from hw2core.data.prepared import DataError, load_prepared
from hw2core.data.registry import DATA_SETS
from hw2core.data.sources import ROOT_VARIABLE

# Ten training and two test images: two per file of CIFAR-10.
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9], dtype=np.uint8)
NAMES = [f"class{k}" for k in range(100)]


class Original(NamedTuple):
    """The files of a data set, and what is in them."""

    name: str
    read: Callable[..., Arrays]
    root: Path  # which a server on this machine offers for download
    files: list[str]
    arrays: Arrays

    def check(self, **options: Path | None) -> None:
        """Check that every image and label is read."""
        for found, expected in zip(self.read(**options), self.arrays, strict=True):
            np.testing.assert_array_equal(found, expected)

    def check_refused(self, *parts: object, **options: Path | None) -> None:
        with pytest.raises(DataError) as caught:
            self.read(**options)
        for part in parts:
            assert str(part) in str(caught.value)
        assert "\n" not in str(caught.value)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[tuple[Path, str]]:
    """Serves a folder; yields it and its address."""
    folder = tmp_path / "root"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder))
    monkeypatch.setenv("no_proxy", "*")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def make_original(monkeypatch, server) -> Callable[[str], Original]:
    """Writes the files of a data set; torchvision then expects their checksums and the server."""
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    root, url = server

    def write(name: str, content: bytes) -> str:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
        return hashlib.md5(content).hexdigest()

    def make_cifar(kind: type[CIFAR10], labels: np.ndarray, classes: list[str]) -> list[str]:
        names = [name for name, _ in [*kind.train_list, *kind.test_list]]
        rows = IMAGES.transpose(0, 3, 1, 2).reshape(12, -1)  # red plane first
        key, parts = ("labels", 6) if kind is CIFAR10 else ("fine_labels", [10])
        contents = [
            {"data": data, key: own.tolist(), "coarse_labels": []}
            for data, own in zip(np.split(rows, parts), np.split(labels, parts), strict=True)
        ]
        names.append(kind.meta["filename"])
        contents.append({kind.meta["key"]: classes, "coarse_label_names": []})
        files = [f"{kind.base_folder}/{name}" for name in names]
        md5 = [write(*each) for each in zip(files, map(pickle.dumps, contents), strict=True)]
        entries = list(zip(names, md5, strict=True))
        monkeypatch.setattr(kind, "train_list", entries[:-2])
        monkeypatch.setattr(kind, "test_list", entries[-2:-1])
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5[-1]})
        with tarfile.open(root / kind.filename, "w:gz") as tar:
            tar.add(root / kind.base_folder, kind.base_folder)
        content = (root / kind.filename).read_bytes()
        monkeypatch.setattr(kind, "url", f"{url}/{kind.filename}")
        monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(content).hexdigest())
        return files

    def make_svhn() -> list[str]:
        for part, these in (("train", slice(10)), ("test", slice(10, 12))):
            labels = np.where(LABELS == 0, 10, LABELS)[these, None]
            file, name = io.BytesIO(), f"{part}_32x32.mat"
            scipy.io.savemat(file, {"X": IMAGES[these].transpose(1, 2, 3, 0), "y": labels})
            entry = [f"{url}/{name}", name, write(name, file.getvalue())]
            monkeypatch.setitem(SVHN.split_list, part, entry)
        return ["train_32x32.mat", "test_32x32.mat"]

    def make_fashion_mnist() -> list[str]:
        resources = []
        for part, these in (("train", slice(10)), ("t10k", slice(10, 12))):
            grey = IMAGES[these, 2:-2, 2:-2, 0]
            for kind, values in (("images-idx3", grey), ("labels-idx1", LABELS[these])):
                name = f"{part}-{kind}-ubyte.gz"
                head = struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape)
                content = gzip.compress(head + values.tobytes())
                resources.append((name, write(f"FashionMNIST/raw/{name}", content)))
        monkeypatch.setattr(FashionMNIST, "resources", resources)
        monkeypatch.setattr(FashionMNIST, "mirrors", [f"{url}/FashionMNIST/raw/"])
        return [f"FashionMNIST/raw/{name}" for name, _ in resources]

    def make(name: str) -> Original:
        images, labels, classes = IMAGES, LABELS, NAMES[:10]
        match name:
            case "cifar10":
                files = make_cifar(CIFAR10, labels, classes)
            case "cifar100":
                labels, classes = LABELS * 11, NAMES
                files = make_cifar(CIFAR100, labels, classes)
            case "svhn":
                files, classes = make_svhn(), list("0123456789")
            case "fashion_mnist":
                files, classes = make_fashion_mnist(), FashionMNIST.classes
                images = np.zeros_like(IMAGES)  # a black margin
                images[:, 2:-2, 2:-2] = IMAGES[:, 2:-2, 2:-2, :1]
        arrays = Arrays(images[:10], labels[:10], images[10:], labels[10:], tuple(classes))
        return Original(name, pkgutil.resolve_name(DATA_SETS[name].reader), root, files, arrays)

    return make


@pytest.fixture(params=["cifar10", "cifar100", "svhn", "fashion_mnist"])
def original(request, make_original) -> Original:
    return make_original(request.param)


@pytest.fixture
def unused(tmp_path) -> Iterator[Path]:
    """A folder for downloads where there are none."""
    yield tmp_path / "unused"
    assert not (tmp_path / "unused").exists()


def test_images_and_labels_keep_their_order_and_layout(original, unused):
    original.check(root=original.root, download_dir=unused)
    for array in original.read(root=original.root, download_dir=unused)[:4]:
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous


def test_the_entry_names_a_place_of_the_original_files(original):
    place = DATA_SETS[original.name].place
    assert place in original.files or all(name.startswith(f"{place}/") for name in original.files)


def test_the_environment_names_the_root_and_an_argument_goes_before(
    original, unused, tmp_path, monkeypatch
):
    nowhere = tmp_path / "nowhere"
    monkeypatch.setenv(ROOT_VARIABLE, str(original.root))
    original.check(root=None, download_dir=unused)
    original.check_refused(nowhere, "given as root", root=nowhere, download_dir=unused)
    monkeypatch.setenv(ROOT_VARIABLE, str(nowhere))
    original.check(root=original.root, download_dir=unused)
    original.check_refused(nowhere, ROOT_VARIABLE, root=None, download_dir=unused)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(ROOT_VARIABLE, "~/root")
    original.check(root=None, download_dir=unused)


def forbid_unpickling(monkeypatch, forbidden: Path) -> None:
    """Other files are unpickled as ever: torchvision checks one after the other."""
    load = pickle.load

    def check_and_load(file, **options):
        assert Path(file.name) != forbidden, "unpickled"
        return load(file, **options)

    monkeypatch.setattr(pickle, "load", check_and_load)


def test_damaged_files_are_named_and_never_unpickled(original, unused, monkeypatch):
    for path in (original.root / name for name in original.files):
        whole = path.read_bytes()
        with monkeypatch.context() as patch:
            forbid_unpickling(patch, path)
            for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
                path.write_bytes(damaged)
                problem = f"{path}: damaged: wrong md5 ({original.root} is given as root); give"
                original.check_refused(problem, root=original.root, download_dir=unused)
        path.unlink()
        original.check_refused(f"{path}: No such file", root=original.root, download_dir=unused)
        path.write_bytes(whole)


def test_a_download_is_whole_kept_and_used_again(original, tmp_path):
    there = tmp_path / "made" / "download"
    original.check(root=None, download_dir=there)
    found = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    assert found == set(original.files)
    assert [path.name for path in there.parent.iterdir()] == ["download"]
    shutil.rmtree(original.root)
    original.check(root=None, download_dir=there)


def test_a_damaged_download_is_replaced_and_never_unpickled(original, tmp_path, monkeypatch):
    there = tmp_path / "download"
    original.check(root=None, download_dir=there)
    harmful = pickle.dumps({"data": IMAGES[:2].reshape(2, -1), "labels": [0, 0]})
    for damaged in (there / name for name in original.files):
        for content in (b"x", harmful, b""):
            damaged.write_bytes(content)
            original.check(root=None, download_dir=there)
        damaged.unlink()
        original.check(root=None, download_dir=there)
    shutil.rmtree(original.root)  # and with no network, it is an error
    for damaged in (there / name for name in original.files):
        damaged.write_bytes(harmful)
        with monkeypatch.context() as patch:
            forbid_unpickling(patch, damaged)
            original.check_refused("http://", "run again", root=None, download_dir=there)


def test_a_failed_download_is_one_line_and_the_next_call_repairs_it(original, tmp_path):
    there = tmp_path / "made" / "download"
    served = {path: path.read_bytes() for path in original.root.rglob("*") if path.is_file()}
    for path, whole in served.items():
        path.write_bytes(whole[: len(whole) // 2])
    original.check_refused("http://", ROOT_VARIABLE, root=None, download_dir=there)
    for path in served:
        path.unlink()
    original.check_refused("http://", "run again", root=None, download_dir=there)
    for path, whole in served.items():
        path.write_bytes(whole)
    original.check(root=None, download_dir=there)


@pytest.mark.parametrize("share", [0, 0.5, 0.99, 1])
def test_a_download_killed_on_the_way_is_repaired(make_original, tmp_path, share):
    original, there = make_original("cifar10"), tmp_path / "download"
    there.mkdir()
    whole = (original.root / CIFAR10.filename).read_bytes()
    (there / CIFAR10.filename).write_bytes(whole[: int(share * len(whole))])
    original.check(root=None, download_dir=there)
    assert [path.name for path in there.iterdir()] == [CIFAR10.base_folder]


@pytest.mark.parametrize("members", range(7))
def test_an_extraction_killed_on_the_way_goes_on_without_a_network(
    make_original, tmp_path, members
):
    original, there = make_original("cifar10"), tmp_path / "download"
    (there / CIFAR10.base_folder).mkdir(parents=True)
    shutil.move(original.root / CIFAR10.filename, there)
    with tarfile.open(there / CIFAR10.filename) as tar:
        *files, last = tar.getmembers()[1 : members + 2]
        tar.extractall(there, files)
        (there / last.name).write_bytes(tar.extractfile(last).read()[:-1])
    original.check(root=None, download_dir=there)


def test_a_download_cannot_hang_for_ever(make_original, tmp_path, monkeypatch):
    original, there, seen = make_original("cifar10"), tmp_path / "download", []

    def fail_half_way(*_args, **_kwargs):
        seen.append(socket.getdefaulttimeout())
        (there / CIFAR10.base_folder).mkdir(parents=True)
        raise URLError("Name or service not known")

    with monkeypatch.context() as patch:
        patch.setattr(cifar, "download_and_extract_archive", fail_half_way)
        original.check_refused("Name or service not known", root=None, download_dir=there)
    assert seen[0] is not None
    assert socket.getdefaulttimeout() is None
    original.check(root=None, download_dir=there)


def test_a_login_page_that_redirects_a_download_is_one_line(make_original, tmp_path, monkeypatch):
    original = make_original("cifar10")

    def redirect(handler: QuietHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "http://[login")
        handler.end_headers()

    monkeypatch.setattr(QuietHandler, "do_GET", redirect)
    monkeypatch.setattr(QuietHandler, "do_HEAD", redirect)
    problem = "the download from http://"
    original.check_refused(problem, "run again", root=None, download_dir=tmp_path / "download")


def test_images_are_prepared_with_the_name_of_their_set(original, tmp_path, monkeypatch):
    small = DATA_SETS[original.name]._replace(sizes=(10, 2), balanced=None)
    monkeypatch.setitem(DATA_SETS, original.name, small)
    sizes = {"train": 5, "validation": 5, "test": 2}
    spec = DataSpec(name=original.name, **sizes)
    assert (spec.source_train, spec.source_test) == DATA_SETS[spec.name].sizes
    data = load_prepared(prepare(spec, tmp_path / "prepared" / spec.folder))
    assert (data.name, data.source) == (spec.name, {"kind": DATA_SETS[spec.name].title})
    assert data.classes == original.arrays.classes
    np.testing.assert_array_equal(data.train_images, original.arrays.train_images)
    assert (tmp_path / "prepared" / "download" / original.files[0]).exists()


def test_a_set_of_other_classes_than_its_entry_is_refused(make_original, tmp_path, monkeypatch):
    original = make_original("svhn")
    monkeypatch.setitem(DATA_SETS, "svhn", DATA_SETS["svhn"]._replace(num_classes=9))
    spec = DataSpec(name="svhn", train=9, validation=9, test=2, root=original.root)
    with pytest.raises(DataError, match="SVHN: 10 classes were read, and its entry"):
        prepare(spec, tmp_path / "prepared")


def test_a_class_without_images_is_refused(make_original, tmp_path, monkeypatch):
    original = make_original("fashion_mnist")
    monkeypatch.setitem(
        DATA_SETS, "fashion_mnist", DATA_SETS["fashion_mnist"]._replace(sizes=(10, 2))
    )
    module = "hw2core.data.fashion_mnist.read_fashion_mnist"
    without = original.arrays._replace(train_labels=original.arrays.train_labels % 9)
    monkeypatch.setattr(module, lambda **_: without)
    spec = DataSpec(name="fashion_mnist", train=5, validation=5, test=2, root=original.root)
    with pytest.raises(
        DataError, match=r"no training image has the label 9, and its entry .* 10 cl"
    ):
        prepare(spec, tmp_path / "prepared")


@pytest.mark.parametrize(("files", "shuffled"), [(("own",), True), ((), False)])
def test_own_test_images_are_shuffled(make_original, tmp_path, monkeypatch, files, shuffled):
    """They may be ordered by class; those of a reader with checksums stay as published."""
    original = make_original("fashion_mnist")
    entry = DATA_SETS["fashion_mnist"]._replace(sizes=(10, 60), files=files, place="")
    monkeypatch.setitem(DATA_SETS, "fashion_mnist", entry)
    labels = np.repeat(np.arange(10), 6).astype(np.uint8)
    images = np.zeros((60, 32, 32, 3), np.uint8) + labels[:, None, None, None]
    images[:, 0, 0, 0] = np.arange(60)
    arrays = original.arrays._replace(test_images=images, test_labels=labels)
    monkeypatch.setattr("hw2core.data.fashion_mnist.read_fashion_mnist", lambda **_: arrays)
    spec = DataSpec(name="fashion_mnist", train=5, validation=5, test=15, root=original.root)
    found = load_prepared(prepare(spec, tmp_path / "prepared"))
    order = found.test_images[:, 0, 0, 0]
    assert sorted(order) == list(range(60))
    assert (order != np.arange(60)).any() == shuffled
    assert (found.test_images[:, 1, 1, 1] == found.test_labels).all()
    assert (len(set(found.test_labels[:15].tolist())) > 5) == shuffled


def test_generated_images_are_prepared_in_the_numbers_asked_for(tmp_path):
    sizes = {"source_train": 30, "source_test": 20, "train": 10, "validation": 10, "test": 20}
    manifest = prepare(DataSpec(name="generated", **sizes), tmp_path / "generated")
    data, expected = load_prepared(manifest), generate_images(30, 20)
    for name in expected._fields[:4]:
        np.testing.assert_array_equal(getattr(data, name), getattr(expected, name))
    assert (data.name, data.source) == ("generated", {"kind": "generated"})


@pytest.mark.skipif(ROOT_VARIABLE not in os.environ, reason=f"needs {ROOT_VARIABLE}")
def test_the_real_files(unused):
    arrays = cifar.read_cifar10(root=None, download_dir=unused)
    assert (arrays.train_images.shape, arrays.test_images.shape[0]) == ((50_000, 32, 32, 3), 10_000)
    for labels in (arrays.train_labels, arrays.test_labels):
        assert np.bincount(labels).tolist() == [len(labels) // 10] * 10
    assert arrays.classes[:3] == ("airplane", "automobile", "bird")
    assert arrays.train_labels[:5].tolist() == [6, 9, 9, 4, 1]
    mean = arrays.train_images.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=1e-4)
