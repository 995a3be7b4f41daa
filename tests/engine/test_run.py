"""Tests of whole runs: what their numbers depend on, what is kept, and how they can end."""

from __future__ import annotations

import dataclasses
import math
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hw2core.data.loader import Loader
from hw2core.engine.recorder import Recorder
from hw2core.engine.run import NetworkError, train_run
from hw2core.engine.torch_trainer import DeviceTrainer
from hw2core.engine.trainer import RunTrainer


def train(spec, data, seed=0, recorder=None):
    return train_run(spec, seed, data, recorder, device="cpu")


def test_a_run_learns_and_reports_what_it_did(tiny_spec, tiny_data):
    epochs = []
    recorder = Recorder(on_epoch=lambda recorder: epochs.append(len(recorder.train)))
    trained = train(tiny_spec, tiny_data, recorder=recorder)
    history, timing = trained.history, trained.timing
    assert history.num_epochs == 3
    assert epochs == [1, 2, 3]
    assert history.test_acc[trained.best_epoch - 1] == max(history.test_acc) > 60
    assert trained.costs.parameters == sum(tensor.numel() for tensor in trained.weights.values())
    assert (trained.device, trained.precision, trained.cuda_graph) == ("cpu", "fp32", False)
    assert trained.threads == torch.get_num_threads()
    assert len(timing.seconds_per_epoch) == 3
    assert 0 < timing.seconds_training < sum(timing.seconds_per_epoch) < timing.seconds
    assert timing.seconds_loading > 0
    assert timing.images_per_second > 0
    assert trained.layers["names"] == ["conv1", "conv2", "fc1", "fc2"]
    assert trained.layers["epochs"] == [0, 1, 2, 3]


SCRIPT = """
import sys
import torch
from hw2core.config.spec import RunSpec
from hw2core.data.prepared import load_prepared
from hw2core.engine.device import prepare_device
from hw2core.engine.recorder import Recorder
from hw2core.engine.run import train_run

class Store:
    state = None
    def load(self, setting, use):
        return self.state is not None and not use(self.state)
    def save(self, state):
        self.state = state

store = Store()
data = load_prepared(sys.argv[2])
for call in ("begins", "resumes"):
    spec = RunSpec.model_validate_json(sys.argv[1])
    train_run(spec, 0, data, Recorder(store=store), device="cpu")
prepare_device(torch.device("cuda"), deterministic=False)
sys.exit("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_no_job_imports_the_compiler_of_torch(specify, tiny_manifest, optimizer):
    """It takes as long as the import of torch."""
    spec = specify("ycn", {"dropout": 0.1}, optimizer=optimizer, epochs=2, average=0.5)
    subprocess.run([sys.executable, "-c", SCRIPT, spec.to_json(), tiny_manifest], check=True)


@pytest.fixture
def evaluated(monkeypatch) -> list[Loader]:
    """What each ``test_epoch`` is given, in the order of the calls."""
    loaders: list[Loader] = []
    original = RunTrainer.test_epoch
    monkeypatch.setattr(
        RunTrainer,
        "test_epoch",
        lambda self, batches, **kw: loaders.append(batches) or original(self, batches, **kw),
    )
    return loaders


def test_validation_is_evaluated_once_per_epoch_and_test_images_are_not_read(
    tiny_spec, tiny_data, evaluated
):
    train(tiny_spec, dataclasses.replace(tiny_data, test_images=None, test_labels=None))
    assert [loader.num_images for loader in evaluated] == [100] * 3


def test_the_split_depends_on_its_own_seed_and_not_on_that_of_the_run(
    specify, tiny_data, evaluated
):
    spec = specify("mlp", epochs=1)
    other = spec.model_copy(update={"data": spec.data.model_copy(update={"split_seed": 1})})
    for run, seed in ((spec, 0), (spec, 1), (other, 0)):
        train(run, tiny_data, seed)
    first, same, changed = (next(iter(loader))[0] for loader in evaluated)
    assert torch.equal(first, same)
    assert not torch.equal(first, changed)


class OwnNetwork(nn.Module):
    """A linear classifier of features that something of ``kind`` changes."""

    kind = ""

    def __init__(self, in_size, out_classes, **_arguments):
        super().__init__()
        num_features = math.prod(in_size)
        self.head = nn.Linear(num_features, out_classes)
        self.count = 0
        if "buffer" in self.kind:
            mixed = torch.randperm(num_features)
            self.register_buffer("mixed", mixed, persistent=self.kind == "saved buffer")
        if self.kind == "shape":
            self.extra = nn.Parameter(torch.zeros(random.randrange(10**6)))
        if self.kind == "whole numbers":
            self.order = nn.Parameter(torch.arange(3), requires_grad=False)
        if self.kind == "numpy":
            self.mixed = np.random.permutation(num_features)

    def forward(self, x):
        x = x.flatten(1)
        if "buffer" in self.kind or self.kind == "numpy":
            x = x[:, self.mixed]
        if self.kind == "noise":
            x = x + torch.randn_like(x)
        if self.kind == "counter":
            x = x * (self.count < 50)
            self.count += self.training
        if self.kind == "depth" and self.training:
            x = x * random.choice([0, 1]) * np.random.choice([1, 2])
        return self.head(x)


@pytest.fixture
def train_own(tiny_spec, tiny_data, monkeypatch):
    """Trains a network of one kind."""

    def make(kind: str, recorder: Recorder | None = None):
        monkeypatch.setattr(OwnNetwork, "kind", kind)
        monkeypatch.setattr(type(tiny_spec), "implementation", f"{__name__}:OwnNetwork")
        return train(tiny_spec, tiny_data, recorder=recorder)

    return make


@pytest.mark.parametrize(
    ("kind", "epochs"), {"buffer": 0, "numpy": 0, "noise": 0, "counter": 3}.items()
)
def test_a_network_of_which_the_weights_are_not_all_is_refused(train_own, kind, epochs):
    recorder = Recorder()
    with pytest.raises(NetworkError, match=r":OwnNetwork: .* register what it depends on"):
        train_own(kind, recorder)
    assert len(recorder.train) == epochs


def test_a_network_of_random_shape_is_refused(train_own):
    with pytest.raises(NetworkError, match=r"OwnNetwork: .* other names or shapes of weights"):
        train_own("shape")


@pytest.mark.parametrize("kind", ["", "saved buffer", "depth", "whole numbers"])
def test_an_own_network_repeats_whatever_generator_it_draws_from(train_own, kind):
    first, again = (train_own(kind).history for _ in range(2))
    assert first == again


@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_the_seed_decides_everything(specify, tiny_data, model):
    first, again, other = (train(specify(model), tiny_data, seed).history for seed in (0, 0, 1))
    assert first == again
    assert first.train_loss != other.train_loss


def test_every_training_image_is_seen(specify, tiny_data, monkeypatch):
    """The public solutions that forgot to shuffle saw the first images only."""
    seen: set[int] = set()

    def spy(self, x, y):
        seen.update(hash(image.numpy().tobytes()) for image in x)
        return torch.zeros(()), torch.zeros(len(y), 10)

    monkeypatch.setattr(DeviceTrainer, "train_step", spy)
    train(specify(batches=4, epochs=12), tiny_data)
    # 12 epochs x 4 batches x 16 images = 768 draws from 300: about 92 % are met.
    assert len(seen) > 240


CHANGES = {"lr": 0.001, "weight_decay": 0.5, "batch_size": 32, "label_smoothing": 0.2}
CHANGES |= {"flip": True, "translate": 2, "cutout": 8, "schedule": "one_cycle", "batches": 4}


@pytest.mark.parametrize("key", CHANGES)
def test_no_key_of_training_is_ignored(specify, tiny_data, key):
    base, changed = specify(epochs=1), specify(epochs=1, **{key: CHANGES[key]})
    losses = [train(spec, tiny_data).history.train_loss for spec in (base, changed)]
    assert losses[0] != losses[1]


def test_a_run_that_diverges_is_a_result(specify, tiny_data):
    trained = train(specify(optimizer="sgd", lr=1000.0, weight_decay=1.0), tiny_data)
    assert not math.isfinite(trained.history.train_loss[-1])
    assert trained.history.num_epochs < 3


@pytest.mark.gpu
@pytest.mark.parametrize(
    "training", [{"optimizer": "sgd", "lr": 0.05, "momentum": 0.9}, {"optimizer": "adamw"}]
)
def test_a_run_learns_on_a_gpu(specify, tiny_data, training):
    trained = train_run(specify(precision="auto", **training), 0, tiny_data)
    assert trained.device.startswith("cuda")
    assert trained.cuda_graph
    assert max(trained.history.test_acc) > 60


@pytest.mark.gpu
@pytest.mark.parametrize(
    "training",
    [
        {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
        {"optimizer": "adamw", "schedule": "one_cycle"},
        {"optimizer": "sgd", "lr": 0.05, "average": 0.2},
        {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "cutout": 8},
    ],
)
@pytest.mark.parametrize("model", ["cnn", "ycn"])
def test_a_graph_gives_on_a_gpu_what_single_steps_give(
    specify, tiny_data, monkeypatch, model, training
):
    spec = specify(model, deterministic=True, flip=True, translate=2, **training)
    graphed = train_run(spec, 0, tiny_data)
    assert graphed.cuda_graph
    monkeypatch.setattr("hw2core.engine.cuda_graph.WARM_UP_STEPS", 10**6)
    single = train_run(spec, 0, tiny_data)
    assert not single.cuda_graph
    assert graphed.history == single.history
