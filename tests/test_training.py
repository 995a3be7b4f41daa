"""The course's trainers: the loop of ``fit``, and steps by autograd and from scratch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hw2core.layers import MLP, CrossEntropyLoss, Linear, Sequential
from hw2core.optimizers import MomentumSGD, VanillaSGD
from hw2core.training import BatchResult, EpochResult, LayerTrainer, TorchTrainer, Trainer

F64 = {"dtype": torch.float64}


class ScriptedTrainer(Trainer):
    """A trainer whose evaluation losses and accuracies are given; its weight is the epoch."""

    def __init__(self, losses, accuracies=None, train_loss=1.0):
        super().__init__(nn.Linear(1, 1), None, None)
        self.losses = losses
        self.accuracies = accuracies or [0.0] * len(losses)
        self.train_loss = train_loss
        self.trained = 0
        self.saved = []

    def train_epoch(self, dl_train, **kw):
        self.trained += 1
        return EpochResult([self.train_loss], 50.0)

    def test_epoch(self, dl_test, **kw):
        return EpochResult([self.losses[self.trained - 1]], self.accuracies[self.trained - 1])

    def train_step(self, x, y):
        raise AssertionError

    test_step = train_step

    def get_weights(self):
        self.saved.append(self.trained)
        return {"epoch": torch.tensor(self.trained)}


def make_batches(*sizes):
    """Images (N, 2, 3, 3) of three classes."""
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        x = torch.randn(size, 2, 3, 3, generator=generator, **F64)
        yield x, x.flatten(1).argmax(dim=1) % 3


def make_torch_trainer() -> TorchTrainer:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(18, 3, **F64))
    sgd = torch.optim.SGD(model.parameters(), lr=0.5)
    return TorchTrainer(model, nn.CrossEntropyLoss(), sgd, "cpu")


def make_layer_trainer(dropout=0) -> LayerTrainer:
    torch.manual_seed(0)
    mlp = MLP(18, 3, [16], dropout=dropout, **F64)
    return LayerTrainer(mlp, CrossEntropyLoss(), VanillaSGD(mlp.params(), learn_rate=1.0))


both_trainers = pytest.mark.parametrize("make", [make_torch_trainer, make_layer_trainer])


@pytest.mark.parametrize(
    ("losses", "patience", "epochs"),
    [
        ([3, 2, 1, 0.5], 1, 4),  # always lower: never stops
        ([3, 3, 2, 1], 1, 2),  # equal is not lower
        ([3, 4, 2, 5, 5, 5], 2, 5),  # a lower loss starts the count again
        ([1, 3, 2, 1.5], 2, 3),  # lower than the epoch before is not lower than the best
        ([math.nan, 3, math.nan, 2], 2, 4),  # NaN is higher than everything
        ([3, math.nan, math.nan, 2], 2, 3),
        ([3, 4, 5, 6], None, 4),
    ],
)
def test_early_stopping_counts_epochs_without_a_lower_loss(losses, patience, epochs):
    trainer = ScriptedTrainer(losses)
    result = trainer.fit([], [], len(losses), early_stopping=patience, print_every=0)
    assert result.num_epochs == epochs == trainer.trained
    assert result.train_acc == [50.0] * epochs
    assert result.test_acc == [0.0] * epochs
    assert result.test_loss == pytest.approx(losses[:epochs], nan_ok=True)


def test_training_stops_when_the_loss_is_not_finite():
    trainer = ScriptedTrainer([1.0, 1.0, 1.0], train_loss=math.nan)
    assert trainer.fit([], [], 3, print_every=0).num_epochs == 1


def test_weights_are_saved_when_accuracy_improves(tmp_path):
    trainer = ScriptedTrainer([1, 1, 1, 1], accuracies=[10.0, 30.0, 30.0, 20.0])
    trainer.fit([], [], 4, checkpoints=str(tmp_path / "best.weights"), print_every=0)
    assert trainer.saved == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["best.weights.pt"]
    saved = torch.load(tmp_path / "best.weights.pt", weights_only=True)
    assert saved == {"model_state": {"epoch": torch.tensor(2)}}


@both_trainers
def test_accuracy_counts_images_when_the_last_batch_is_short(make):
    trainer = make()
    batches = list(make_batches(10, 10, 3))
    with torch.no_grad():
        correct = sum(int((trainer.model(x.flatten(1)).argmax(1) == y).sum()) for x, y in batches)
    result = trainer.test_epoch(batches)
    assert result.accuracy == pytest.approx(100 * correct / 23)
    assert len(result.losses) == 3


def test_accuracy_counts_pixels_where_they_have_labels():
    net = nn.Conv2d(3, 2, 1)
    x, y = torch.randn(4, 3, 5, 5), torch.zeros(4, 5, 5, dtype=torch.long)
    trainer = TorchTrainer(net, nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=10))
    fit = trainer.fit([(x, y)], [(x, y)], 30, print_every=0)
    assert fit.test_acc[-1] == 100


@pytest.mark.parametrize("shape", [(4, 1), (4, 2), (4, 4)])
def test_labels_that_are_no_class_numbers_are_refused(shape):
    net = nn.Linear(3, shape[-1])
    trainer = TorchTrainer(net, nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=1))
    batches = [(torch.randn(4, 3), torch.zeros(shape))]
    with pytest.raises(ValueError, match=r"labels have shape .*, must be .* \(4,\)"):
        trainer.fit(batches, batches, 2, print_every=0)


@pytest.mark.parametrize("epochs", [float("nan"), float("inf"), 2.5])
def test_a_number_of_epochs_is_whole(epochs):
    net = nn.Linear(3, 2)
    trainer = TorchTrainer(net, nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=1))
    with pytest.raises(TypeError, match="integer"):
        trainer.fit([], [], epochs)


def test_a_generator_of_batches_ends_with_an_error_not_with_empty_epochs():
    net = nn.Linear(3, 2)
    trainer = TorchTrainer(net, nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), lr=1))
    batches = [(torch.randn(2, 3), torch.zeros(2, dtype=torch.long))]
    with pytest.raises(ValueError, match="no batches"):
        trainer.fit(iter(batches), batches, 2, print_every=0)


def test_training_from_scratch_equals_autograd(tmp_path):
    torch.manual_seed(0)
    mlp = MLP(18, 3, [16, 8], wstd=0.3, **F64)
    twin = nn.Sequential(
        nn.Flatten(), nn.Linear(18, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)
    ).double()
    with torch.no_grad():
        for parameter, (value, _) in zip(twin.parameters(), mlp.params(), strict=True):
            parameter.copy_(value)
    ours = LayerTrainer(mlp, CrossEntropyLoss(), VanillaSGD(mlp.params(), learn_rate=0.1, reg=0.01))
    sgd = torch.optim.SGD(twin.parameters(), lr=0.1, weight_decay=0.01)
    theirs = TorchTrainer(twin, nn.CrossEntropyLoss(), sgd)
    batches = list(make_batches(10, 10, 7))
    expected = theirs.fit(batches, batches, 5, print_every=0)
    actual = ours.fit(batches, batches, 5, print_every=0)
    assert actual.train_acc == expected.train_acc
    assert actual.train_loss == pytest.approx(expected.train_loss, abs=1e-10)
    assert actual.test_loss == pytest.approx(expected.test_loss, abs=1e-10)
    assert list(theirs.get_weights()) == list(twin.state_dict())
    weights = zip(ours.get_weights().values(), theirs.get_weights().values(), strict=True)
    for weight, other in weights:
        torch.testing.assert_close(weight, other)


class OwnClassifier:
    """A linear classifier with the course's interface, that shares no class with the project."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x, **kw):
        self.x = x
        return x @ self.layer.w.T + self.layer.b

    def backward(self, dout):
        self.layer.dw += dout.T @ self.x
        self.layer.db += dout.sum(dim=0)
        return dout @ self.layer.w

    def params(self):
        return self.layer.params()

    def train(self, training_mode=True):
        self.training_mode = training_mode


@pytest.mark.parametrize("wrap", [OwnClassifier, lambda layer: Sequential(OwnClassifier(layer))])
def test_any_model_with_the_interface_of_the_course_is_trained(wrap, tmp_path):
    results, batches = [], list(make_batches(10, 10))
    for make in (wrap, lambda layer: layer):
        torch.manual_seed(0)
        model = make(Linear(18, 3, **F64))
        momentum = MomentumSGD(model.params(), learn_rate=0.1)
        trainer = LayerTrainer(model, CrossEntropyLoss(), momentum)
        results.append(trainer.fit(batches, batches, 3, str(tmp_path / "w"), print_every=0))
    assert results[0].train_loss == pytest.approx(results[1].train_loss)
    assert results[0].train_loss[-1] < results[0].train_loss[0]


@pytest.mark.parametrize("make", [make_torch_trainer, lambda: make_layer_trainer(dropout=0.9)])
def test_evaluation_learns_nothing_and_drops_nothing_and_the_mode_is_set(make):
    trainer, batches = make(), list(make_batches(50))
    before = {name: tensor.clone() for name, tensor in trainer.get_weights().items()}
    assert trainer.test_epoch(batches) == trainer.test_epoch(batches)
    assert all(torch.equal(before[name], w) for name, w in trainer.get_weights().items())
    mode = "training" if isinstance(trainer.model, nn.Module) else "training_mode"
    assert not getattr(trainer.model, mode)
    trainer.train_epoch(batches)
    assert getattr(trainer.model, mode)


def test_max_batches_limits_batches_not_their_size(capsys):
    seen = []
    trainer = make_torch_trainer()
    trainer.train_batch = lambda batch: seen.append(len(batch[1])) or BatchResult(0.0, 0)
    result = trainer.train_epoch(make_batches(7, 7, 7, 7), max_batches=3, verbose=True)
    assert seen == [7, 7, 7]
    assert len(result.losses) == 3 == len(capsys.readouterr().out.splitlines())


class LoaderOfEpochs(list):
    epochs: tuple = ()

    def set_epoch(self, epoch):
        self.epochs = (*self.epochs, epoch)


def test_fit_trains_and_evaluates_each_epoch_and_reports_it(capsys):
    trainer, trained, tested, calls = make_torch_trainer(), [], [], []
    train_step, test_step = trainer.train_step, trainer.test_step
    trainer.train_step = lambda x, y: trained.append(len(y)) or train_step(x, y)
    trainer.test_step = lambda x, y: tested.append(len(y)) or test_step(x, y)
    loader = LoaderOfEpochs(make_batches(4, 5))
    trainer.fit(
        loader,
        list(make_batches(6)),
        3,
        print_every=2,
        post_epoch_fn=lambda epoch, train, test: calls.append(epoch),
    )
    assert (trained, tested) == ([4, 5] * 3, [6] * 3)
    assert loader.epochs == (0, 1, 2)
    assert calls == [0, 1, 2]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 3/3"]
