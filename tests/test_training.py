from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hw2core.fit_results import BatchResult, EpochResult
from hw2core.recipe import build_schedule, scale_one_cycle
from hw2core.spec import TrainingSpec
from hw2core.torch_training import DeviceTrainer
from hw2core.training import TorchTrainer, Trainer


class ScriptedTrainer(Trainer):
    """A trainer whose evaluation losses and accuracies are given."""

    def __init__(self, losses, accuracies=None):
        super().__init__(nn.Linear(1, 1), None, None)
        self.losses = losses
        self.accuracies = accuracies or [0.0] * len(losses)
        self.trained = 0
        self.saved = []

    def train_epoch(self, dl_train, **kw):
        self.trained += 1
        return EpochResult([1.0], 50.0)

    def test_epoch(self, dl_test, **kw):
        return EpochResult([self.losses[self.trained - 1]], self.accuracies[self.trained - 1])

    def train_step(self, x, y):
        raise AssertionError

    def test_step(self, x, y):
        raise AssertionError

    def get_state(self):
        return {}

    def load_state(self, state):
        raise AssertionError

    def save_checkpoint(self, path):
        self.saved.append((self.trained, path.name))


def make_batches(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for size in sizes:
        x = torch.randn(size, 4, generator=generator)
        yield x, (x.sum(dim=1) > 0).long()


def make_trainer(kind=TorchTrainer, **kw):
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    if kind is DeviceTrainer:
        kw |= {
            "device": torch.device("cpu"),
            "schedule": lambda step: 0.5,
        }
    return kind(model, nn.CrossEntropyLoss(), optimizer, **kw)


@pytest.mark.parametrize(
    ("losses", "patience", "epochs"),
    [
        ([3, 2, 1, 0.5], 1, 4),  # always lower: never stops
        ([3, 3, 2, 1], 1, 2),  # equal is not lower
        ([3, 4, 2, 5, 5, 5], 2, 5),  # a lower loss starts the count again
        ([1, 3, 2, 1.5], 2, 3),  # lower than the epoch before is not lower than the best
        ([3, 4, 5, 6], None, 4),
    ],
)
def test_early_stopping_counts_epochs_without_a_lower_loss(losses, patience, epochs):
    trainer = ScriptedTrainer(losses)
    result = trainer.fit([], [], len(losses), early_stopping=patience, print_every=0)
    assert result.num_epochs == epochs == trainer.trained
    assert result.train_acc == [50.0] * epochs
    assert result.test_acc == [0.0] * epochs
    assert result.test_loss == losses[:epochs]


def test_a_checkpoint_is_saved_when_accuracy_improves(tmp_path):
    trainer = ScriptedTrainer([1, 1, 1, 1], accuracies=[10.0, 30.0, 30.0, 40.0])
    trainer.fit([], [], 4, checkpoints=str(tmp_path / "best.weights"), print_every=0)
    assert trainer.saved == [(1, "best.weights.pt"), (2, "best.weights.pt"), (4, "best.weights.pt")]


def test_a_checkpoint_is_readable_without_running_code(tmp_path):
    trainer = make_trainer()
    trainer.fit(
        list(make_batches([8])), list(make_batches([8])), 1, str(tmp_path / "w"), print_every=0
    )
    state = torch.load(tmp_path / "w.pt", weights_only=True)["model_state"]
    assert torch.equal(state["weight"], trainer.model.weight)


def test_training_stops_when_the_loss_is_not_finite():
    trainer = ScriptedTrainer([1.0, 1.0, 1.0])
    trainer.train_epoch = lambda dl, **kw: (
        setattr(trainer, "trained", trainer.trained + 1) or EpochResult([math.nan], 10.0)
    )
    assert trainer.fit([], [], 3, print_every=0).num_epochs == 1


@pytest.mark.parametrize("kind", [TorchTrainer, DeviceTrainer])
def test_accuracy_counts_images_when_the_last_batch_is_short(kind):
    trainer = make_trainer(kind)
    batches = list(make_batches([10, 10, 3]))
    with torch.no_grad():
        hits = sum(int((trainer.model(x).argmax(1) == y).sum()) for x, y in batches)
    assert trainer.test_epoch(batches).accuracy == pytest.approx(100 * hits / 23)


def test_device_trainer_means_losses_over_images():
    batches = list(make_batches([10, 10, 3]))
    losses = make_trainer(TorchTrainer).test_epoch(batches).losses
    expected = (10 * losses[0] + 10 * losses[1] + 3 * losses[2]) / 23
    assert make_trainer(DeviceTrainer).test_epoch(batches).losses == [pytest.approx(expected)]


@pytest.mark.parametrize("kind", [TorchTrainer, DeviceTrainer])
def test_training_is_sgd_on_the_mean_loss(kind):
    trainer = make_trainer(kind)
    reference = nn.Linear(4, 2)
    reference.load_state_dict(trainer.model.state_dict())
    x, y = next(make_batches([10]))
    nn.functional.cross_entropy(reference(x), y).backward()
    expected = [p.detach() - 0.5 * p.grad for p in reference.parameters()]
    trainer.train_epoch([(x, y)])
    for actual, wanted in zip(trainer.model.parameters(), expected, strict=True):
        torch.testing.assert_close(actual.detach(), wanted)


def test_evaluation_learns_nothing_and_training_mode_is_set():
    trainer = make_trainer()
    before = trainer.model.weight.clone()
    trainer.test_epoch(list(make_batches([5])))
    assert torch.equal(trainer.model.weight, before)
    assert not trainer.model.training
    trainer.train_epoch(list(make_batches([5])))
    assert trainer.model.training


def test_max_batches_limits_batches_not_their_size():
    seen = []
    trainer = make_trainer()
    trainer.train_batch = lambda batch: seen.append(len(batch[1])) or BatchResult(0.0, 0)
    result = trainer.train_epoch(make_batches([7, 7, 7, 7]), max_batches=3)
    assert seen == [7, 7, 7]
    assert len(result.losses) == 3


def test_every_epoch_is_announced_to_the_loader():
    class Loader(list):
        epochs: tuple = ()

        def set_epoch(self, epoch):
            self.epochs = (*self.epochs, epoch)

    loader = Loader(make_batches([4]))
    make_trainer().fit(loader, list(make_batches([4])), 3, print_every=0)
    assert loader.epochs == (0, 1, 2)


def test_each_loader_has_its_own_part():
    trainer = make_trainer()
    trained, tested = [], []
    train_step, test_step = trainer.train_step, trainer.test_step
    trainer.train_step = lambda x, y: trained.append(len(y)) or train_step(x, y)
    trainer.test_step = lambda x, y: tested.append(len(y)) or test_step(x, y)
    trainer.fit(list(make_batches([4, 5])), list(make_batches([6])), 2, print_every=0)
    assert trained == [4, 5, 4, 5]
    assert tested == [6, 6]


def test_fit_prints_and_calls_back(capsys):
    calls = []
    make_trainer().fit(
        list(make_batches([4])),
        list(make_batches([4])),
        3,
        print_every=2,
        post_epoch_fn=lambda epoch, train, test: calls.append(epoch),
    )
    assert calls == [0, 1, 2]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 3/3"]


def test_one_cycle_rises_to_its_peak_and_falls_to_nothing():
    rates = [scale_one_cycle(step, 100, 25) for step in range(100)]
    assert rates[25] == max(rates) == 1.0
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert 0 < rates[0] < 0.05
    assert 0 < rates[-1] < 0.001


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4])
def test_one_cycle_stands_the_shortest_training(num_steps):
    training = TrainingSpec(
        epochs=1, batch_size=1, optimizer="sgd", lr=0.1, weight_decay=0, schedule="one_cycle"
    )
    schedule = build_schedule(training, num_steps)
    assert all(0 < schedule(step) <= 0.1 for step in range(num_steps))
