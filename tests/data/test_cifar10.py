import hashlib
import os
import pickle
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
from torchvision.datasets import CIFAR10

from hw2core.data.cifar10 import ROOT_VARIABLE, read_cifar10
from hw2core.data.prepared import DataError

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
    assert not (tmp_path / "unused").exists()


@pytest.mark.usefixtures("archive")
def test_a_missing_root_is_an_error_and_no_download(tmp_path):
    assert_refused(tmp_path / "no", root=tmp_path / "no", download_dir=tmp_path / "unused")
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_damaged_files_are_named_and_never_unpickled(root, tmp_path, monkeypatch, name):
    path = root / CIFAR10.base_folder / name
    whole = path.read_bytes()
    monkeypatch.setattr(pickle, "load", lambda *_a, **_k: pytest.fail("unpickled"))
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(damaged)
        assert_refused(path, "damaged", root=root, download_dir=tmp_path / "unused")
    path.unlink()
    assert_refused(path, "No such file", root=root, download_dir=tmp_path / "unused")


@pytest.mark.usefixtures("archive")
def test_a_download_is_whole_kept_and_used_again(tmp_path, monkeypatch):
    there = tmp_path / "made" / "download"
    assert len(read_cifar10(root=None, download_dir=there).train_labels) == 20
    assert [p.name for p in there.iterdir()] == [CIFAR10.base_folder]
    assert [p.name for p in there.parent.iterdir()] == ["download"]
    monkeypatch.setattr(CIFAR10, "download", lambda _self: pytest.fail("downloaded again"))
    assert len(read_cifar10(root=None, download_dir=there).train_labels) == 20
    damaged = there / CIFAR10.base_folder / "data_batch_2"
    damaged.write_bytes(b"x")
    way_out = f"delete the folder {damaged.parent} and run again"
    assert_refused(damaged, way_out, download_dir=there)


def test_a_failed_download_leaves_nothing(archive, tmp_path, monkeypatch):
    there = tmp_path / "made" / "download"
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    assert_refused(there, CIFAR10.url, ROOT_VARIABLE, download_dir=there)
    archive.unlink()
    assert_refused(there, CIFAR10.url, "run again", download_dir=there)

    def fail_half_way(self):
        (Path(self.root) / CIFAR10.base_folder).mkdir()
        raise URLError("Name or service not known")

    monkeypatch.setattr(CIFAR10, "download", fail_half_way)
    assert_refused("Name or service not known", download_dir=there)
    assert list(there.parent.iterdir()) == []


def test_a_download_cannot_hang_for_ever(tmp_path, monkeypatch):
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    seen = []

    def note_timeout(_self):
        seen.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(CIFAR10, "download", note_timeout)
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
