"""The recorder by itself, with a trainer whose epochs are given."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch

from hw2core.engine.generators import seed_generators
from hw2core.engine.probe import LayerProbe
from hw2core.engine.recorder import Recorder
from hw2core.history import EpochResult

BATCH = torch.zeros(1), torch.zeros(1)


class ScriptedTrainer:
    """Has one weight, the number of its last epoch, which it changes in place."""

    device = None
    precision = "fp32"
    probed = True

    def __init__(self):
        self.weight = torch.zeros(1)

    @property
    def images_per_second(self):
        return 100.0 * self.weight.item()

    def probe_layers(self, x, y):
        return LayerProbe(["fc1"], [self.weight.item()], [1.0], [None]) if self.probed else None

    def get_weights(self):
        return {"w": self.weight}

    get_state = get_weights

    def load_state(self, state):
        self.weight.copy_(state["w"])


class Memory:
    """A store that keeps the states in memory, copied as a disk would."""

    def __init__(self):
        self.states = []
        self.refused = 0

    def load(self, setting, use):
        for state in reversed(copy.deepcopy(self.states)):
            try:
                use(state)
            except Exception:
                self.refused += 1
            else:
                return True
        return False

    def save(self, state):
        self.states.append(copy.deepcopy(state))


def record(accuracies, *, planned=None, trainer=None, **options) -> Recorder:
    """Start to record, then add an epoch of each validation accuracy that is not there yet."""
    recorder, trainer = Recorder(**options), trainer or ScriptedTrainer()
    recorder.start(trainer, planned or len(accuracies), BATCH)
    for epoch in range(len(recorder.train), len(accuracies)):
        trainer.weight.fill_(epoch + 1)
        recorder.add(EpochResult([1.0], 50.0), EpochResult([2.0], accuracies[epoch]))
    return recorder


def test_layers_are_probed_before_training_then_at_powers_of_two_and_at_the_end():
    epochs = [0, 1, 2, 4, 8, 11]
    expected = {"names": ["fc1"], "epochs": epochs, "gradient_norm": [[e] for e in epochs]}
    rest = {"activation_std": [[1.0]] * 6, "dead_fraction": [[None]] * 6}
    assert record([10.0] * 11).layers == expected | rest


def test_layers_are_probed_at_the_epoch_that_stops_early():
    recorder, trainer = Recorder(), ScriptedTrainer()
    recorder.start(trainer, 20, BATCH, early_stopping=3)
    for epoch, loss in enumerate([3.0, 2.0, 1.0, 1.0, 1.0, 1.0], start=1):
        trainer.weight.fill_(epoch)
        recorder.add(EpochResult([1.0], 50.0), EpochResult([loss], 50.0))
    assert recorder.is_over(20, 3)
    assert recorder.layers["epochs"] == [0, 1, 2, 4, 6]


def test_a_trainer_may_have_no_layer_statistics():
    trainer = ScriptedTrainer()
    trainer.probed = False
    assert record([10.0], trainer=trainer).layers == {}


def test_the_best_weights_are_a_copy_of_those_of_the_first_best_epoch():
    recorder = record([10.0, 30.0, 30.0, 20.0])
    assert recorder.best_epoch == 2
    assert recorder.best_weights["w"].item() == 2


def test_the_state_is_stored_before_the_epoch_is_reported():
    store = Memory()
    seen = []
    recorder = record(
        [10.0, 20.0], store=store, on_epoch=lambda r: seen.append((r, len(store.states)))
    )
    assert seen == [(recorder, 1), (recorder, 2)]


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_a_resumed_recorder_is_the_one_that_was_interrupted(epoch):
    accuracies, store = [10.0, 30.0, 20.0, 30.0], Memory()
    whole = record(accuracies)
    record(accuracies[:epoch], planned=4, store=store)
    expected_draw = torch.rand(3)
    expected_numbers = np.random.rand(), random.random()
    seed_generators(99)
    trainer = ScriptedTrainer()
    Recorder(store=store).start(trainer, 4, BATCH)
    assert torch.equal(torch.rand(3), expected_draw)
    assert (np.random.rand(), random.random()) == expected_numbers
    assert trainer.weight.item() == epoch
    resumed = record(accuracies, store=store)
    for name in ("train", "test", "layers", "best_weights", "best_epoch", "speeds"):
        assert getattr(resumed, name) == getattr(whole, name), name
    assert len(resumed.seconds) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.update(trainer={}),
        lambda state: state.update(test=[(1.0,)]),
        lambda state: state["random"].update(cpu=state["random"]["cpu"][:3]),
    ],
)
def test_a_state_that_cannot_be_loaded_leaves_all_as_it_was(damage):
    store = Memory()
    record([10.0, 30.0], planned=3, store=store)
    for state in store.states:
        damage(state)
    expected_draw = torch.rand(3, generator=torch.default_generator.clone_state())
    recorder, trainer = Recorder(store=store), ScriptedTrainer()
    recorder.start(trainer, 3, BATCH)
    assert store.refused == 2
    assert trainer.weight.item() == 0
    assert (recorder.train, recorder.test, recorder.best_weights) == ([], [], {})
    assert recorder.layers["epochs"] == [0]
    assert torch.equal(torch.rand(3), expected_draw)


def test_the_setting_is_known_when_training_starts_and_saved_with_every_state():
    store, seen = Memory(), []
    record([10.0], store=store, on_start=lambda r: seen.append(r.setting))
    (setting,) = seen
    assert store.states[0]["setting"] == setting
    assert setting.keys() == {"device", "precision", "threads", "torch", "instructions"}
    assert (setting["device"], setting["threads"]) == ("cpu", torch.get_num_threads())


def test_times(monkeypatch):
    # Loading is over at 5, epochs end at 7, 10 and 16, the run at 17.
    clock = iter([5.0, 7.0, 10.0, 16.0, 17.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    recorder = record([10.0] * 3, planned=5)
    timing = recorder.measure_time(images_per_epoch=600, seconds_loading=0.5)
    assert timing.seconds_per_epoch == [2.0, 3.0, 6.0]
    assert timing.seconds == 12.0
    assert timing.seconds_loading == 0.5
    assert timing.seconds_training == 6.0 + 3.0 + 2.0  # at 100, 200 and 300 images per second
    assert timing.images_per_second == 200.0
    assert recorder.seconds_left == 3.0 * 2
