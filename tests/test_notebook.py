"""The course's notebooks for parts 1 to 3, with the course's calls only."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import hw2core as hw2
import hw2core.experiments as experiments
import hw2core.layers as layers
from hw2core import answers, cnn, optimizers, training
from hw2core.config.reading import read_config
from hw2core.config.study import STUDY_FILE, load_study
from hw2core.data.cifar import read_cifar10
from hw2core.data.generated import generate_images
from hw2core.grad_compare import compare_layer_to_torch

COURSE = Path(__file__).parents[1] / "docs" / "course.md"


def load_images(count, batch_size):
    """Images of three classes that differ in their mean, as a list of batches."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    images = torch.randn(count, 3, 8, 8, generator=generator) + labels.view(-1, 1, 1, 1)
    dataset = torch.utils.data.TensorDataset(images, labels)
    return torch.utils.data.DataLoader(dataset, batch_size, shuffle=True, generator=generator)


def make_batches(images, labels, batch_size):
    """Images (N, 32, 32, 3) as torchvision's ToTensor has them, in batches, not shuffled."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    y = torch.from_numpy(labels).long()
    return list(zip(x.split(batch_size), y.split(batch_size), strict=True))


def test_the_imports_that_the_documents_show_work():
    (block,) = (b for b in COURSE.read_text().split("```") if "import hw2core as hw2" in b)
    subprocess.run([sys.executable, "-c", block.removeprefix("python")], check=True)


def test_submodules_are_listed_and_imported_when_first_used():
    names = {module.name for module in pkgutil.iter_modules(hw2.__path__)}
    assert {"layers", "grad_compare", "cnn", "plot"} <= names <= set(dir(hw2))
    code = "import hw2core as hw2, sys; dir(hw2); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_part_1_layers_and_losses():
    torch.manual_seed(42)
    x = torch.randn(20, 3, 8, 8)
    y = torch.randint(0, 10, (20,))
    mlp = layers.Sequential(
        layers.Linear(192, 64, wstd=0.1),
        layers.ReLU(),
        layers.Dropout(p=0.2),
        layers.Linear(64, 10),
    )
    ce = hw2.layers.CrossEntropyLoss()
    loss = ce(mlp(x.view(20, -1)), y)
    dx = mlp.backward(ce.backward())
    assert loss.dim() == 0
    assert dx.shape == (20, 192)
    assert len(mlp) == 4
    assert isinstance(mlp[1], layers.ReLU)
    for layer in (layers.ReLU(), layers.Sigmoid(), layers.TanH(), layers.LeakyReLU(alpha=0.1)):
        assert all(diff < 1e-5 for diff in compare_layer_to_torch(layer, x))
    model = layers.MLP(192, num_classes=10, hidden_features=[32, 16], wstd=0.5, dropout=0.3)
    assert all(diff < 1e-3 for diff in compare_layer_to_torch(model, x.view(20, -1)))


def test_part_2_training():
    torch.manual_seed(3)
    dl_train, dl_test = load_images(60, 10), load_images(30, 10)
    hp = answers.part2_overfit_hp()
    model = layers.MLP(192, num_classes=3, hidden_features=[32], wstd=hp["wstd"])
    loss_fn = layers.CrossEntropyLoss()
    optimizer = optimizers.MomentumSGD(model.params(), learn_rate=0.05, reg=hp["reg"])
    trainer = training.LayerTrainer(model, loss_fn, optimizer)
    best_acc = 0.0
    for _ in range(20):
        res = trainer.train_epoch(dl_train, verbose=False)
        best_acc = res.accuracy if res.accuracy > best_acc else best_acc
    assert best_acc >= 98
    fit_res = trainer.fit(dl_train, dl_test, num_epochs=2, max_batches=4, print_every=0)
    assert fit_res.num_epochs == 2
    assert len(fit_res.train_loss) == 8
    result = trainer.train_batch(next(iter(dl_train)))
    assert isinstance(result.loss, float)
    assert isinstance(result.num_correct, int)


def train_dropout(images, labels, tested, dropout, num_epochs):
    """Part 2's comparison: momentum SGD on few images, in batches of 10."""
    hp = answers.part2_dropout_hp()
    torch.manual_seed(42)
    model = layers.MLP(3072, 10, [400], wstd=hp["wstd"], dropout=dropout)
    optimizer = optimizers.MomentumSGD(model.params(), learn_rate=hp["lr"], reg=0)
    trainer = training.LayerTrainer(model, layers.CrossEntropyLoss(), optimizer)
    batches = make_batches(images, labels, 10), make_batches(*tested, 20)
    return trainer.fit(*batches, num_epochs, max_batches=40, print_every=0)


def test_part_2_dropout_on_images_that_are_not_normalised():
    """Few and easy images in place of CIFAR-10, so that memorising takes a second."""
    arrays = generate_images(100, 10)
    without, some, much = (
        train_dropout(*arrays[:2], arrays[2:4], dropout, 25) for dropout in (0, 0.4, 0.8)
    )
    assert max(without.train_acc) == 100
    assert without.train_acc[-1] > 90 > 75 > some.train_acc[-1] > 40 > 25 > much.train_acc[-1]


needs_cifar10 = pytest.mark.skipif("HW2_DATA" not in os.environ, reason="needs CIFAR-10 (HW2_DATA)")


@needs_cifar10
@pytest.mark.slow
def test_part_2_on_the_images_of_the_notebook(tmp_path):
    arrays = read_cifar10(root=Path(os.environ["HW2_DATA"]), download_dir=tmp_path)
    train, tested = arrays[:2], arrays[2:4]
    without, some, much = (
        train_dropout(*train, [part[:800] for part in tested], dropout, 30)
        for dropout in (0, 0.4, 0.8)
    )
    assert max(without.train_acc) == 100
    assert without.train_acc[-1] > 90 > some.train_acc[-1] > 50 > much.train_acc[-1]
    assert max(some.test_acc) > max(much.test_acc)
    assert without.test_loss[-1] > some.test_loss[-1] > much.test_loss[-1]

    hp = answers.part2_overfit_hp()
    for seed in range(3):
        torch.manual_seed(seed)
        model = layers.MLP(3072, 10, [128] * 3, wstd=hp["wstd"])
        sgd = optimizers.VanillaSGD(model.params(), learn_rate=hp["lr"], reg=hp["reg"])
        trainer = training.LayerTrainer(model, layers.CrossEntropyLoss(), sgd)
        batches = make_batches(*(part[:20] for part in train), 10)
        assert 100 in [trainer.train_epoch(batches).accuracy for _ in range(16)]

    hp = answers.part2_optim_hp()
    best = {}
    for name in ("VanillaSGD", "MomentumSGD", "RMSProp"):
        torch.manual_seed(42)
        model = layers.MLP(3072, 10, [128] * 5, wstd=hp["wstd"])
        rate = hp["lr_" + name.lower().removesuffix("sgd")]
        optimizer = getattr(optimizers, name)(model.params(), learn_rate=rate, reg=hp["reg"])
        trainer = training.LayerTrainer(model, layers.CrossEntropyLoss(), optimizer)
        batches = make_batches(*(part[:5000] for part in train), 50)
        tests = make_batches(*(part[:2500] for part in tested), 25)
        best[name] = max(trainer.fit(batches, tests, 10, print_every=0).test_acc)
    assert 35 < best["VanillaSGD"] < min(best["MomentumSGD"], best["RMSProp"])


@pytest.mark.parametrize("cls", [cnn.ConvClassifier, cnn.YourCodeNet])
def test_part_3_networks_take_the_same_arguments(cls):
    net = cls((3, 100, 100), 10, channels=[32] * 4, pool_every=2, hidden_dims=[100] * 2)
    assert net(torch.randn(1, 3, 100, 100)).shape == (1, 10)
    net = cls(
        *((3, 32, 32), 3, [np.int64(8)] * 3, 2, [10]),
        conv_params={"kernel_size": 5, "stride": 2, "padding": 3},
        activation_type="lrelu",
        activation_params={"negative_slope": 0.05},
        pooling_type="avg",
        pooling_params={"kernel_size": 3},
    )
    assert net(torch.randn(2, 3, 32, 32)).shape == (2, 3)


def test_part_3_experiments_are_run_loaded_and_plotted(in_folder):
    data = {"name": "generated", "source_train": 120, "source_test": 40, "train": 80}
    data |= {"validation": 40, "test": 40}
    short = {"batches": 2, "epochs": 1, "bs_train": 20, "data": data, "device": "cpu", "seed": 0}
    sizes = {"filters_per_layer": [4], "pool_every": 2, "hidden_dims": [8]}
    for depth in (1, 2):
        experiments.run_experiment("exp1_1", layers_per_block=depth, **sizes, **short)
    theirs = {"num_epochs": 1, "train_loss": [2.0, 1.0], "train_acc": [40.0]}
    theirs |= {"test_loss": [1.5], "test_acc": [45.0]}
    document = {"config": {"layers_per_block": 4, "filters_per_layer": [4]}, "results": theirs}
    Path("results/exp1_1_L4_K4.json").write_text(json.dumps(document))

    figure = None
    for path in sorted(Path("results").glob("exp1_1_L*_K4*.json")):
        config, fit = experiments.load_experiment(path)
        legend = f"L{config['layers_per_block']}_K{config['filters_per_layer'][0]}"
        figure, axes = hw2.plot.plot_fit(fit, figure, legend=legend, log_loss=True)
        del config["filters_per_layer"], config["layers_per_block"]
    shown = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert shown == ["L1_K4", "L2_K4", "L4_K4"]
    figure, axes = hw2.plot.plot_exp_results("exp1_1_L*_K4*.json")
    assert len(axes[3].get_lines()) == 3
    plt.close("all")


@pytest.mark.parametrize("normalised", [False, True])
def test_hyper_parameters_have_the_names_of_the_course(normalised):
    hp = answers.part2_optim_hp(normalised=normalised)
    assert hp.keys() == {"wstd", "lr_vanilla", "lr_momentum", "lr_rmsprop", "reg"}
    assert hp["lr_momentum"] < hp["lr_vanilla"]
    assert answers.part2_overfit_hp(normalised=normalised).keys() == {"wstd", "lr", "reg"}
    assert answers.part2_dropout_hp(normalised=normalised).keys() == {"wstd", "lr"}


def test_hyper_parameters_for_normalised_images_are_those_of_the_study():
    study = load_study(read_config(STUDY_FILE), str(STUDY_FILE)).runs
    rate = answers.part2_optim_hp(normalised=True)["lr_rmsprop"]
    assert rate == study["part2_optim_rmsprop"].training.lr
    run = study["part2_dropout_0"]
    expected = {"wstd": run.architecture.wstd, "lr": run.training.lr}
    assert answers.part2_dropout_hp(normalised=True) == expected
