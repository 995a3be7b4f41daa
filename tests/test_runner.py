from __future__ import annotations

import math

import pytest
import torch

from hw2core.fit_results import FitResult
from hw2core.runner import build_trainer, decide_status, train_run
from hw2core.spec import RunSpec
from hw2core.study_training import StudyTrainer
from hw2core.torch_training import DeviceTrainer


def specify(tiny_values, **training) -> RunSpec:
    return RunSpec.model_validate(
        {**tiny_values, "training": {**tiny_values["training"], **training}}
    )


def test_a_run_learns_and_tells_what_it_did(tiny_spec, tiny_data):
    reports = []
    trained = train_run(tiny_spec, 0, tiny_data, device="cpu", on_epoch=reports.append)
    results, facts = trained.results, trained.facts
    assert results.num_epochs == 3
    assert facts["status"] == "trained"
    assert facts["test_accuracy"] > 60
    best = facts["best_epoch"]
    assert results.test_acc[best - 1] == max(results.test_acc) == facts["validation_accuracy"]
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert facts["parameters"] == sum(tensor.numel() for tensor in trained.weights.values())
    assert facts["precision"] == "fp32"
    assert len(facts["seconds_per_epoch"]) == 3
    assert 0 < facts["seconds_training"] < sum(facts["seconds_per_epoch"]) < facts["seconds"]
    assert facts["seconds_loading"] > 0
    assert sum(map(sum, facts["confusion"])) == tiny_spec.data.test
    hits = sum(row[i] for i, row in enumerate(facts["confusion"]))
    assert 100 * hits / tiny_spec.data.test == facts["test_accuracy"]
    assert facts["layers"]["names"] == ["conv1", "conv2", "fc1", "fc2"]
    assert facts["layers"]["epochs"] == [0, 1, 2, 3]
    assert facts["cuda_graph"] is False


def test_weights_are_those_of_the_epoch_validation_chose(tiny_spec, tiny_data):
    trained = train_run(tiny_spec, 0, tiny_data, device="cpu")
    best = trained.facts["best_epoch"]
    shorter = tiny_spec.model_copy(
        update={"training": tiny_spec.training.model_copy(update={"epochs": best})}
    )
    again = train_run(shorter, 0, tiny_data, device="cpu")
    for name, tensor in again.weights.items():
        assert torch.equal(tensor, trained.weights[name])
    assert again.facts["test_accuracy"] == trained.facts["test_accuracy"]


def test_the_test_images_come_last_and_decide_nothing(tiny_spec, tiny_data, monkeypatch):
    sizes = []

    def spy_on(name):
        original = getattr(StudyTrainer, name)

        def spy(self, batches, **kw):
            sizes.append((name, batches.num_images))
            return original(self, batches, **kw)

        monkeypatch.setattr(StudyTrainer, name, spy)

    spec = tiny_spec.model_copy(update={"data": tiny_spec.data.model_copy(update={"test": 70})})
    spy_on("test_epoch")
    spy_on("compute_scores")
    train_run(spec, 0, tiny_data, device="cpu")
    # As they are, and mirrored.
    assert sizes == [*[("test_epoch", 100)] * 3, *[("compute_scores", 70)] * 2]


def test_the_mirrored_images_count_in_a_number_of_their_own(tiny_spec, tiny_data, monkeypatch):
    def score(self, x, y):
        # Only the mirror image shows the class: its score outweighs a wrong one.
        right = torch.nn.functional.one_hot(y, 10).float()
        return torch.zeros(()), 3 * right if self.mirrored else right.roll(1, dims=1)

    compute = StudyTrainer.compute_scores

    def remember(self, batches, *, mirrored=False):
        self.mirrored = mirrored
        return compute(self, batches, mirrored=mirrored)

    monkeypatch.setattr(StudyTrainer, "compute_scores", remember)
    monkeypatch.setattr(StudyTrainer, "mirrored", False, raising=False)
    monkeypatch.setattr(DeviceTrainer, "test_step", score)
    facts = train_run(tiny_spec, 0, tiny_data, device="cpu").facts
    assert facts["test_accuracy"] == 0.0
    assert facts["test_accuracy_mirrored"] == 100.0


def test_mirrored_scores_are_those_of_mirrored_images(tiny_spec):
    trainer = build_trainer(tiny_spec, torch.device("cpu"), 1)
    x, y = torch.rand(4, 3, 32, 32), torch.arange(4)
    scores, labels = trainer.compute_scores([(x, y)], mirrored=True)
    assert torch.equal(scores, trainer.compute_scores([(x.flip(3), y)])[0])
    assert not torch.equal(scores, trainer.compute_scores([(x, y)])[0])
    assert torch.equal(labels, y)


def test_what_is_evaluated_and_kept_is_the_average(tiny_values, tiny_data):
    first = train_run(specify(tiny_values, epochs=1), 0, tiny_data, device="cpu")
    averaged = train_run(specify(tiny_values, epochs=1, average=0.5), 0, tiny_data, device="cpu")
    assert averaged.results.train_loss == first.results.train_loss  # the steps are the same
    assert averaged.results.test_loss != first.results.test_loss
    assert any(not torch.equal(averaged.weights[k], w) for k, w in first.weights.items())


def test_a_seed_decides_everything(tiny_spec, tiny_data):
    first, again, other = (
        train_run(tiny_spec, seed, tiny_data, device="cpu").results for seed in (0, 0, 1)
    )
    assert first == again
    assert first.train_loss != other.train_loss


def test_every_training_image_is_seen(tiny_values, tiny_data, monkeypatch):
    """The public solutions that forgot to shuffle saw the first images only."""
    values = {**tiny_values, "training": {**tiny_values["training"], "batches": 4, "epochs": 12}}
    seen: set[int] = set()

    def spy(self, x, y):
        seen.update(hash(image.numpy().tobytes()) for image in x)
        return torch.zeros(()), torch.zeros(len(y), 10)

    monkeypatch.setattr(DeviceTrainer, "train_step", spy)
    train_run(RunSpec.model_validate(values), 0, tiny_data, device="cpu")
    # 12 epochs x 4 batches x 16 images = 768 draws from 300: about 92 % are met.
    assert len(seen) > 240


def test_learning_rate_and_weight_decay_are_not_ignored(tiny_values, tiny_data):
    def losses(**training):
        return train_run(
            specify(tiny_values, epochs=1, **training), 0, tiny_data, device="cpu"
        ).results.train_loss

    base = losses()
    assert losses(lr=0.001) != base
    assert losses(weight_decay=0.5) != base
    assert losses(batch_size=32) != base
    assert losses(label_smoothing=0.2) != base
    assert losses(clip_norm=0.01) != base
    assert losses(flip=True) != base
    assert losses(schedule="one_cycle") != base


def test_weight_decay_spares_biases_and_normalisation(tiny_values):
    tiny_values["model"] = "resnet"
    tiny_values["architecture"]["batchnorm"] = True
    spec = specify(tiny_values, weight_decay=0.1)
    groups = build_trainer(spec, torch.device("cpu"), 10).optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])


def test_a_run_that_diverges_is_a_result(tiny_values, tiny_data):
    spec = specify(tiny_values, optimizer="sgd", lr=1e30)
    trained = train_run(spec, 0, tiny_data, device="cpu")
    assert trained.facts["status"] == "diverged"
    assert trained.results.num_epochs < 3


def test_a_run_at_chance_is_a_result(tiny_values, tiny_data):
    trained = train_run(specify(tiny_values, lr=1e-12, epochs=1), 0, tiny_data, device="cpu")
    assert trained.facts["status"] == "at_chance"


@pytest.mark.parametrize(
    ("train_loss", "train_acc", "test_acc", "status"),
    [
        ([2.0, 1.0], [9.0, 9.0], [9.0, 15.0], "trained"),
        ([2.0, 1.0], [14.9, 9.0], [14.9, 9.0], "at_chance"),
        ([2.0, 1.0], [50.0, 100.0], [10.0, 10.0], "trained"),  # by heart: not nothing
        ([2.0, math.nan], [30.0, 10.0], [30.0, 10.0], "diverged"),
        ([2.0, math.inf], [30.0, 10.0], [30.0, 10.0], "diverged"),
    ],
)
def test_status(train_loss, train_acc, test_acc, status):
    results = FitResult(2, train_loss, train_acc, [1.0, 1.0], test_acc)
    assert decide_status(results) == status


def test_bf16_learns_as_well(tiny_values, tiny_data):
    trained = train_run(specify(tiny_values, precision="bf16"), 0, tiny_data, device="cpu")
    assert trained.facts["precision"] == "bf16"
    assert trained.facts["test_accuracy"] > 60


def test_an_unavailable_device_is_one_clear_error(tiny_spec, tiny_data):
    with pytest.raises(ValueError, match="device='abacus': not available here"):
        train_run(tiny_spec, 0, tiny_data, device="abacus")


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_learns_on_a_gpu(tiny_values, tiny_data, optimizer):
    trained = train_run(specify(tiny_values, precision="auto", optimizer=optimizer), 0, tiny_data)
    assert trained.facts["device"].startswith("cuda")
    assert trained.facts["cuda_graph"]
    assert trained.facts["test_accuracy"] > 60


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize(
    "training",
    [
        {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True, "clip_norm": 1.0},
        {"optimizer": "adamw", "schedule": "one_cycle"},
        {"optimizer": "sgd", "lr": 0.05, "average": 0.2},
        {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "cutout": 8},
    ],
)
@pytest.mark.parametrize("model", ["cnn", "ycn"])
def test_a_graph_gives_on_a_gpu_what_single_steps_give(
    tiny_values, tiny_data, monkeypatch, model, training
):
    tiny_values["model"] = model
    if model == "ycn":
        tiny_values["architecture"]["pool_every"] = 2  # a block takes two convolutions
    spec = specify(tiny_values, deterministic=True, flip=True, translate=2, **training)
    graphed = train_run(spec, 0, tiny_data)
    assert graphed.facts["cuda_graph"]
    monkeypatch.setattr("hw2core.cuda_graph.WARM_UP_STEPS", 10**6)
    single = train_run(spec, 0, tiny_data)
    assert not single.facts["cuda_graph"]
    assert graphed.results == single.results
