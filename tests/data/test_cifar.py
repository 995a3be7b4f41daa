import hashlib
import os
import pickle
import shutil
import socket
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import URLError

import numpy as np
import pytest

pytest.importorskip("torchvision")
from torchvision.datasets import CIFAR10, CIFAR100

from hw2core.data import cifar
from hw2core.data.cifar import read_cifar10, read_cifar100
from hw2core.data.prepared import DataError
from hw2core.data.sources import ROOT_VARIABLE

NAMES = [f"class{k}" for k in range(10)]
FILES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def fake_rows(index):
    """4 images as in the original files: (4, 3072), red plane first."""
    return np.random.default_rng(index).integers(0, 256, (4, 3072), dtype=np.uint8)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A tiny data set in CIFAR-10's format, with torchvision's md5 lists changed to fit it."""
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    folder = tmp_path / "root" / CIFAR10.base_folder
    folder.mkdir(parents=True)
    md5 = {}
    contents = {
        name: {"data": fake_rows(i), "labels": [i, 1, 2, 9]} for i, name in enumerate(FILES)
    }
    for name, content in (contents | {"batches.meta": {"label_names": NAMES}}).items():
        (folder / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name in FILES[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5["batches.meta"]})
    return tmp_path / "root"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        pass


@pytest.fixture
def archive(root, tmp_path, monkeypatch):
    """The same as an archive, which a server on this machine offers for download."""
    path = tmp_path / "served" / "archive.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(root / CIFAR10.base_folder, CIFAR10.base_folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=path.parent))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{path.name}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield path
    server.shutdown()
    thread.join()
    server.server_close()


def forbid_download(monkeypatch):
    def fail(*_args, **_kwargs):
        pytest.fail("downloaded again")

    monkeypatch.setattr(cifar, "download_and_extract_archive", fail)


def forbid_unpickling(monkeypatch, forbidden):
    """Other files are unpickled as ever: torchvision checks one after the other."""
    load = pickle.load

    def check_and_load(file, **options):
        assert Path(file.name) != forbidden, "unpickled"
        return load(file, **options)

    monkeypatch.setattr(pickle, "load", check_and_load)


def assert_read(download_dir):
    """Every image and label is the right one."""
    arrays = read_cifar10(root=None, download_dir=download_dir)
    rows = np.concatenate([fake_rows(i) for i in range(6)])
    images = np.concatenate([arrays.train_images, arrays.test_images])
    np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(24, -1), rows)
    labels = np.concatenate([arrays.train_labels, arrays.test_labels])
    assert labels.tolist() == [k for i in range(6) for k in (i, 1, 2, 9)]
    assert arrays.classes == tuple(NAMES)


def assert_refused(*parts, root=None, download_dir):
    with pytest.raises(DataError) as caught:
        read_cifar10(root=root, download_dir=download_dir)
    for part in parts:
        assert str(part) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_and_labels_keep_their_order_and_layout(root, tmp_path):
    arrays = read_cifar10(root=root, download_dir=tmp_path / "unused")
    rows = np.concatenate([fake_rows(i) for i in range(5)])
    assert arrays.train_images.shape == (20, 32, 32, 3)
    assert arrays.train_images.flags.c_contiguous
    assert arrays.train_images.dtype == arrays.train_labels.dtype == np.uint8
    np.testing.assert_array_equal(arrays.train_images[7, 5, 6], rows[7].reshape(3, 32, 32)[:, 5, 6])
    np.testing.assert_array_equal(arrays.train_images.transpose(0, 3, 1, 2).reshape(20, -1), rows)
    assert arrays.train_labels.tolist() == [k for i in range(5) for k in (i, 1, 2, 9)]
    assert arrays.test_labels.tolist() == [5, 1, 2, 9]
    assert arrays.test_images.shape == (4, 32, 32, 3)
    assert arrays.classes == tuple(NAMES)
    assert not (tmp_path / "unused").exists()


def test_the_environment_names_the_root_and_an_argument_goes_before(root, tmp_path, monkeypatch):
    monkeypatch.setenv(ROOT_VARIABLE, str(root))
    assert len(read_cifar10(root=None, download_dir=tmp_path / "unused").train_labels) == 20
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "nowhere"))
    assert len(read_cifar10(root=root, download_dir=tmp_path / "unused").train_labels) == 20
    assert_refused(tmp_path / "nowhere", ROOT_VARIABLE, download_dir=tmp_path / "unused")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(ROOT_VARIABLE, "~/root")
    assert len(read_cifar10(root=None, download_dir=tmp_path / "unused").train_labels) == 20
    assert_refused(tmp_path / "no", root=Path("~/no"), download_dir=tmp_path / "unused")
    assert not (tmp_path / "unused").exists()


@pytest.mark.usefixtures("archive")
def test_a_missing_root_is_an_error_and_no_download(tmp_path):
    assert_refused(tmp_path / "no", root=tmp_path / "no", download_dir=tmp_path / "unused")
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_damaged_files_are_named_and_never_unpickled(root, tmp_path, monkeypatch, name):
    path = root / CIFAR10.base_folder / name
    whole = path.read_bytes()
    forbid_unpickling(monkeypatch, path)
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(damaged)
        assert_refused(path, "damaged", root=root, download_dir=tmp_path / "unused")
    path.unlink()
    assert_refused(path, "No such file", root=root, download_dir=tmp_path / "unused")


@pytest.mark.usefixtures("archive")
def test_a_download_is_whole_kept_and_used_again(tmp_path, monkeypatch):
    there = tmp_path / "made" / "download"
    assert_read(there)
    assert [p.name for p in there.iterdir()] == [CIFAR10.base_folder]
    assert [p.name for p in there.parent.iterdir()] == ["download"]
    forbid_download(monkeypatch)
    assert_read(there)


@pytest.mark.parametrize("name", [*FILES, "batches.meta"])
def test_a_damaged_download_is_replaced_and_never_unpickled(archive, tmp_path, monkeypatch, name):
    there = tmp_path / "download"
    assert_read(there)
    damaged = there / CIFAR10.base_folder / name
    for content in (b"x", pickle.dumps({"data": fake_rows(9), "labels": [0] * 4}), b""):
        damaged.write_bytes(content)
        assert_read(there)
    damaged.unlink()
    assert_read(there)
    damaged.write_bytes(b"x")
    archive.unlink()  # and with no network, it is an error
    forbid_unpickling(monkeypatch, damaged)
    assert_refused(there, CIFAR10.url, "run again", download_dir=there)


@pytest.mark.parametrize("share", [0, 0.5, 0.99, 1])
def test_a_download_killed_on_the_way_is_repaired(archive, tmp_path, share):
    there = tmp_path / "download"
    there.mkdir()
    whole = archive.read_bytes()
    (there / CIFAR10.filename).write_bytes(whole[: int(share * len(whole))])
    assert_read(there)
    assert [p.name for p in there.iterdir()] == [CIFAR10.base_folder]


@pytest.mark.parametrize("members", range(7))
def test_an_extraction_killed_on_the_way_goes_on_without_a_network(archive, tmp_path, members):
    there = tmp_path / "download"
    (there / CIFAR10.base_folder).mkdir(parents=True)
    shutil.copy(archive, there / CIFAR10.filename)
    with tarfile.open(archive) as tar:
        *files, last = tar.getmembers()[1 : members + 2]
        tar.extractall(there, files)
        (there / last.name).write_bytes(tar.extractfile(last).read()[:-1])
    archive.unlink()
    assert_read(there)


def test_a_failed_download_is_one_line_and_the_next_call_repairs_it(archive, tmp_path, monkeypatch):
    there = tmp_path / "made" / "download"
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    assert_refused(there, CIFAR10.url, ROOT_VARIABLE, download_dir=there)
    archive.unlink()
    assert_refused(there, CIFAR10.url, "run again", download_dir=there)

    def fail_half_way(*_args, **_kwargs):
        (there / CIFAR10.base_folder).mkdir()
        raise URLError("Name or service not known")

    with monkeypatch.context() as patch:
        patch.setattr(cifar, "download_and_extract_archive", fail_half_way)
        assert_refused("Name or service not known", download_dir=there)
    archive.write_bytes(whole)
    assert_read(there)


def test_a_download_cannot_hang_for_ever(tmp_path, monkeypatch):
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    seen = []

    def note_timeout(*_args, **_kwargs):
        seen.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(cifar, "download_and_extract_archive", note_timeout)
    assert_refused("timed out", download_dir=tmp_path / "download")
    assert seen[0] is not None
    assert socket.getdefaulttimeout() is None


@pytest.mark.skipif(ROOT_VARIABLE not in os.environ, reason=f"needs {ROOT_VARIABLE}")
def test_the_real_files(tmp_path):
    arrays = read_cifar10(root=None, download_dir=tmp_path / "unused")
    assert arrays.train_images.shape == (50_000, 32, 32, 3)
    assert arrays.test_images.shape == (10_000, 32, 32, 3)
    assert np.bincount(arrays.train_labels).tolist() == [5000] * 10
    assert np.bincount(arrays.test_labels).tolist() == [1000] * 10
    assert arrays.classes[:3] == ("airplane", "automobile", "bird")
    assert arrays.train_labels[:5].tolist() == [6, 9, 9, 4, 1]
    np.testing.assert_allclose(
        arrays.train_images.mean(axis=(0, 1, 2)) / 255, [0.4914, 0.4822, 0.4465], atol=1e-4
    )


def test_cifar100_has_the_fine_labels(tmp_path, monkeypatch):
    folder = tmp_path / CIFAR100.base_folder
    folder.mkdir()
    contents = {
        "train": {"data": fake_rows(0), "fine_labels": [99, 1, 2, 9], "coarse_labels": [0] * 4},
        "test": {"data": fake_rows(1), "fine_labels": [5, 6, 7, 8], "coarse_labels": [1] * 4},
        "meta": {"fine_label_names": [f"fine{k}" for k in range(100)], "coarse_label_names": []},
    }
    md5 = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    for part in ("train", "test"):
        monkeypatch.setattr(CIFAR100, f"{part}_list", [[part, md5[part]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": md5["meta"]})
    arrays = read_cifar100(root=tmp_path, download_dir=tmp_path / "unused")
    assert arrays.train_labels.tolist() == [99, 1, 2, 9]
    assert arrays.test_labels.tolist() == [5, 6, 7, 8]
    assert arrays.classes == tuple(contents["meta"]["fine_label_names"])
    rows = arrays.train_images.transpose(0, 3, 1, 2).reshape(4, -1)
    np.testing.assert_array_equal(rows, fake_rows(0))
    (folder / "train").write_bytes(b"x")
    with pytest.raises(DataError, match=r"cifar-100-python/train: damaged: wrong md5"):
        read_cifar100(root=tmp_path, download_dir=tmp_path / "unused")
