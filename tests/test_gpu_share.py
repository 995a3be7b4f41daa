from __future__ import annotations

from hw2core.config.spec import RunSpec
from hw2core.gpu_share import estimate_gpu_percent
from hw2core.gpus import UNKNOWN

GIB = 1 << 30


def specify(tiny_values, **architecture) -> RunSpec:
    values = {**tiny_values["architecture"], **architecture}
    training = {**tiny_values["training"], "batch_size": 128}
    return RunSpec.model_validate({**tiny_values, "architecture": values, "training": training})


def test_small_runs_share_and_wide_ones_do_not(tiny_values):
    small = specify(tiny_values, filters_per_layer=[32])
    wide = specify(tiny_values, filters_per_layer=[256], layers_per_block=8, pool_every=4)
    assert estimate_gpu_percent(small, 80 * GIB) == 10
    assert estimate_gpu_percent(wide, 80 * GIB) == 100
    assert estimate_gpu_percent(wide, 80 * GIB, training=False) == 10


def test_memory_counts_where_it_is_short(tiny_values):
    small = specify(tiny_values, filters_per_layer=[32])
    assert 30 < estimate_gpu_percent(small, 3 * GIB) < 60
    assert estimate_gpu_percent(small, 1 * GIB) == 100


def test_an_mlp_needs_the_least(tiny_values):
    training = {**tiny_values["training"], "optimizer": "vanilla"}
    architecture = {"hidden_dims": [400], "wstd": 0.1}
    values = {**tiny_values, "model": "mlp", "architecture": architecture, "training": training}
    spec = RunSpec.model_validate(values)
    assert estimate_gpu_percent(spec, 80 * GIB) == 10
    assert estimate_gpu_percent(spec, 5 * GIB) == 21


def test_a_gpu_of_unknown_memory_is_not_shared(tiny_values):
    assert estimate_gpu_percent(specify(tiny_values, filters_per_layer=[4]), UNKNOWN) == 100
