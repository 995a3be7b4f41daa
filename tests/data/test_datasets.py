from types import SimpleNamespace

import numpy as np

from hw2core.data import datasets
from hw2core.data.generated import generate_images
from hw2core.data.prepared import load_prepared, read_manifest


def test_generated_images_are_prepared_in_the_numbers_asked_for(tmp_path):
    spec = SimpleNamespace(name="generated", source_train=30, source_test=20, root=None)
    manifest = datasets.prepare(spec, tmp_path / "generated")
    data, expected = load_prepared(manifest), generate_images(30, 20)
    for name in expected._fields[:4]:
        np.testing.assert_array_equal(getattr(data, name), getattr(expected, name))
    assert (data.name, data.classes) == ("generated", expected.classes)
    assert read_manifest(manifest).source == {"kind": "generated"}


def test_cifar10_is_downloaded_beside_the_prepared_folder(tmp_path, monkeypatch):
    seen = []

    def read(**options):
        seen.append(options)
        return generate_images(30, 20)

    monkeypatch.setattr("hw2core.data.cifar.read_cifar10", read)
    spec = SimpleNamespace(name="cifar10", source_train=50_000, source_test=10_000, root=None)
    manifest = datasets.prepare(spec, tmp_path / "cifar10")
    assert seen == [{"root": None, "download_dir": tmp_path / "download"}]
    assert read_manifest(manifest).name == "cifar10"
    assert read_manifest(manifest).source == {"kind": "CIFAR-10"}
