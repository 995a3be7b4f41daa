"""Before a training: networks that could fail, or go wrong unseen, until its end are refused."""

from __future__ import annotations

import traceback

import pytest
import torch
from own_networks import (
    Assigned,
    AssignedInEvaluation,
    Attending,
    BatchStatistics,
    Cached,
    Closure,
    Complex,
    Counting,
    CountingEpochs,
    CountingInClass,
    CountingInDictionary,
    CountingInPlace,
    Divided,
    Drawing,
    DrawingItsOwn,
    Encoded,
    Experts,
    Few,
    FilledByImages,
    Frozen,
    Gated,
    Ghost,
    Hooked,
    InPlace,
    Listed,
    Norm,
    Normalized,
    Permuted,
    PermutedAlike,
    Placed,
    Plain,
    Projected,
    Reading,
    Recurrent,
    RecurrentCell,
    Scaled,
    Seeding,
    SeedingInStep,
    Shared,
    SharedByClass,
    Spread,
    Squeezed,
    Stochastic,
    TakingTurns,
    Thousand,
    Watched,
)

from hw2core.engine.cuda_graph import GraphError
from hw2core.engine.flops import count_flops
from hw2core.engine.run import NetworkError
from hw2core.gpus import CUDA_GRAPH
from hw2core.runs.make import make_result
from hw2core.runs.network_check import COPIED, check_graph, check_network, draws_on_cpu


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Squeezed, COPIED),
        (Scaled, "no parameters, or no convolution or product"),
        (Complex, "weights that cannot be saved as safetensors"),
    ],
)
def test_a_network_whose_costs_or_weights_cannot_be_recorded_is_refused_before_training(
    tiny_spec, tiny_data, monkeypatch, network, problem
):
    state = torch.get_rng_state()
    check_network(tiny_spec)
    assert torch.equal(torch.get_rng_state(), state)
    describe_own(tiny_spec, monkeypatch, network)
    monkeypatch.setattr("hw2core.runs.make.hash_run_code", lambda _: {})
    monkeypatch.setattr("hw2core.runs.make.check_recordable", lambda _: None)
    monkeypatch.setattr("hw2core.runs.make.train_run", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises((NetworkError, LookupError)) as raised:
        make_result(tiny_spec, 0, tiny_data, device="cpu")
    *_, last = "".join(traceback.format_exception(raised.value)).splitlines()
    assert last.endswith(f"{network.__name__}: {problem}")


def describe_own(spec, monkeypatch, network, average=0.0):
    """Return a run of a network of ``own_networks``."""
    monkeypatch.setattr(type(spec), "implementation", f"{network.__module__}:{network.__name__}")
    monkeypatch.setattr("hw2core.runs.network_check.hash_modules", lambda _: [network.__module__])
    monkeypatch.setattr("hw2core.runs.opened.hash_modules", lambda _: [])
    training = spec.training.model_copy(update={"average": average})
    return spec.model_copy(update={"training": training})


@pytest.mark.parametrize(
    ("network", "average"),
    [
        (Norm, 0.5),
        (PermutedAlike, 0.0),
        (Experts, 0.0),
        (FilledByImages, 0.0),
        (CountingInPlace, 0.0),
        (Drawing, 0.0),
        (Watched, 0.0),
        (Stochastic, 0.5),
        (Shared, 0.0),
        (Ghost, 0.5),
        (Closure, 0.0),
        (Hooked, 0.0),
    ],
)
def test_a_network_that_keeps_what_it_changes_is_trained(tiny_spec, monkeypatch, network, average):
    check_network(describe_own(tiny_spec, monkeypatch, network, average))


REBUILT = "built again with the same weights, it gives other logits"
MIXES = "the logits of an image depend on the other images of its batch"
ELSE = "continued from a checkpoint, it computes something else"


@pytest.mark.parametrize(
    ("network", "average", "problem"),
    [
        (Assigned, 0.0, "a training step assigns mean"),
        (AssignedInEvaluation, 0.0, "a training step assigns mean"),
        (Normalized, 0.0, r"a training step assigns head\.weight"),
        (Counting, 0.0, "a training step changes the number steps"),
        (CountingInClass, 0.0, "a training step changes the number seen"),
        (CountingInPlace, 0.5, "a training step changes count, which is not averaged"),
        (CountingInDictionary, 0.0, REBUILT),
        (Shared, 0.5, r"twice\.0\.weight is shared, and would be averaged twice"),
        (Plain, 0.0, REBUILT),
        (Plain, 0.5, ELSE),
        (Closure, 0.5, REBUILT),
        (DrawingItsOwn, 0.0, ELSE),
        (TakingTurns, 0.0, ELSE),
        (Attending, 0.0, MIXES),
        (Attending, 0.5, MIXES),
        (Encoded, 0.0, MIXES),
        (Gated, 0.0, MIXES),
        (Placed, 0.0, MIXES),
        (Divided, 0.0, MIXES),
        (Spread, 0.0, MIXES),
        (CountingEpochs, 0.0, "a training step changes the number epochs"),
        (Frozen, 0.0, "it changes running without a training step"),
        (BatchStatistics, 0.0, MIXES),
        (Cached, 0.0, f"{REBUILT}; .* compute anew what depends on weights"),
        (Cached, 0.5, f"{REBUILT}; .* compute anew what depends on weights"),
        (Permuted, 0.0, "another process"),
        (Projected, 0.0, "another process"),
        (SharedByClass, 0.0, "another process"),
        (InPlace, 0.0, "it changes its input images in place"),
        (Listed, 0.0, r"the layers in norms would not be trained; use nn\.ModuleList"),
        (Recurrent, 0.0, r"the operations of rows would not be counted; use nn\.LSTMCell"),
        (
            Reading,
            0.0,
            "it reads hw2core/analysis/explore/page.css, and edits of that would not be",
        ),
        (Thousand, 0.0, r"its logits of 2 images have the shape \(2, 1000\); must be \(2, 10\)"),
        (Few, 0.0, r"its logits of 2 images have the shape \(2, 4\); must be \(2, 10\)"),
        (Seeding, 0.0, "seeds the generator of torch"),
        (SeedingInStep, 0.0, "seeds the generator of NumPy"),
    ],
)
def test_a_network_whose_steps_change_what_is_not_kept_is_refused(
    tiny_spec, monkeypatch, network, average, problem
):
    with pytest.raises(NetworkError, match=f"{network.__name__}: {problem}"):
        check_network(describe_own(tiny_spec, monkeypatch, network, average))


def test_the_operations_of_recurrent_cells_are_counted(tiny_spec, monkeypatch):
    check_network(describe_own(tiny_spec, monkeypatch, RecurrentCell, 0.0))
    heads = 2 * 10 * (3 + 8)
    assert count_flops(RecurrentCell(10), (3, 32, 32)) == 32 * 2 * 4 * 8 * (96 + 8) + heads


def test_a_network_that_keeps_gradients_is_refused(tiny_spec, monkeypatch):
    with pytest.raises(RuntimeError, match="deepcopy") as raised:
        check_network(describe_own(tiny_spec, monkeypatch, Watched, 0.5))
    assert COPIED in raised.value.__notes__[0]


def test_layers_that_differ_between_probes_are_left_out(tiny_spec, tiny_data, monkeypatch):
    spec = describe_own(tiny_spec, monkeypatch, Stochastic)
    monkeypatch.setattr("hw2core.runs.make.hash_run_code", lambda _: {})
    monkeypatch.setattr("hw2core.runs.make.check_recordable", lambda _: None)
    with pytest.warns(UserWarning, match="no layers are recorded"):
        result, _ = make_result(spec, 0, tiny_data, device="cpu")
    assert result.layers is None


def test_a_network_that_draws_on_the_cpu_has_no_cuda_graph(tiny_spec, monkeypatch):
    assert not draws_on_cpu(tiny_spec, torch.device("cpu"))
    assert draws_on_cpu(describe_own(tiny_spec, monkeypatch, Stochastic), torch.device("cpu"))


@pytest.mark.gpu
def test_a_network_that_draws_on_the_cpu_is_refused_where_there_are_graphs(tiny_spec, monkeypatch):
    check_graph(tiny_spec, torch.device("cuda"))
    spec = describe_own(tiny_spec, monkeypatch, Stochastic)
    with pytest.raises(GraphError, match="draws on the CPU"):
        check_graph(spec, torch.device("cuda"))
    monkeypatch.setenv(CUDA_GRAPH, "0")
    check_graph(spec, torch.device("cuda"))
