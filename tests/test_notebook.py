"""The course's notebook for parts 1 and 2, with the course's calls only."""

from __future__ import annotations

import torch

import hw2core as hw2
from hw2core import answers, cnn, experiments, layers, optimizers, training
from hw2core.grad_check import compare_layer_to_torch


def load_images(count, batch_size):
    """Images of three classes that differ in their mean, as a list of batches."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    images = torch.randn(count, 3, 8, 8, generator=generator) + labels.view(-1, 1, 1, 1)
    dataset = torch.utils.data.TensorDataset(images, labels)
    return torch.utils.data.DataLoader(dataset, batch_size, shuffle=True, generator=generator)


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


def test_part_2_optimizers():
    torch.manual_seed(1)
    p = torch.randn(10)
    dp = torch.randn(10) * 2
    before = p.clone()
    vsgd = optimizers.VanillaSGD([(p, dp)], learn_rate=0.5, reg=0.1)
    vsgd.zero_grad()
    assert torch.equal(dp, torch.zeros(10))
    dp += 1
    vsgd.step()
    torch.testing.assert_close(p, before - 0.5 * (1 + 0.1 * before))


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
    batch = next(iter(dl_train))
    result = trainer.train_batch(batch)
    assert isinstance(result.loss, float)
    assert isinstance(result.num_correct, int)


def test_part_3_networks_and_calls():
    net = cnn.ConvClassifier(
        (3, 100, 100), 10, channels=[32] * 4, pool_every=2, hidden_dims=[100] * 2
    )
    assert net(torch.randn(1, 3, 100, 100)).shape == (1, 10)
    assert callable(experiments.run_experiment)
    assert callable(hw2.plot.plot_fit)


def test_hyper_parameters_are_those_of_the_study():
    assert answers.part2_overfit_hp().keys() == {"wstd", "lr", "reg"}
    keys = {"wstd", "lr_vanilla", "lr_momentum", "lr_rmsprop", "reg"}
    assert answers.part2_optim_hp().keys() == keys
    assert answers.part2_dropout_hp().keys() == {"wstd", "lr"}
    assert answers.part2_optim_hp()["lr_momentum"] < answers.part2_optim_hp()["lr_vanilla"]
