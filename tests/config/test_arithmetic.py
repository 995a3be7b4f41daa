from __future__ import annotations

import pytest

from hw2core.cnn import ConvClassifier
from hw2core.config.arithmetic import count_work
from hw2core.config.networks import ConvArchitecture, MLPArchitecture
from hw2core.engine.flops import count_flops, count_parameters
from hw2core.layers.mlp import MLP


@pytest.mark.parametrize(("layers", "every"), [(2, 1), (5, 2), (6, 2)])
def test_the_count_agrees_with_that_of_the_network(layers, every):
    architecture = ConvArchitecture(
        filters_per_layer=(8,), layers_per_block=layers, pool_every=every, hidden_dims=(64,)
    )
    work = count_work(architecture)
    model = ConvClassifier(**architecture.build_arguments())
    assert 2 * work.multiply_adds == count_flops(model, (3, 32, 32))
    assert work.parameters == pytest.approx(count_parameters(model), rel=0.02)


def test_outputs_are_those_of_all_layers_but_the_last():
    architecture = ConvArchitecture(
        filters_per_layer=(8, 4), layers_per_block=1, pool_every=1, hidden_dims=(64, 32)
    )
    assert count_work(architecture).outputs == 8 * 32**2 + 4 * 16**2 + 64 + 32


def test_the_work_of_the_from_scratch_network_is_its_weights():
    architecture = MLPArchitecture(hidden_dims=(20, 30), wstd=0.1)
    work = count_work(architecture)
    model = MLP(**architecture.build_arguments())
    weights = sum(p.numel() for p, _ in model.params() if p.ndim > 1)
    assert work == (weights, 50, weights)
