"""Before a training: a rehearsal of what could fail, or go wrong unseen, until its end."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hw2core.config.networks import IN_SIZE
from hw2core.config.spec import RunSpec
from hw2core.engine.cuda_graph import GraphError
from hw2core.engine.generators import (
    describe_host_generators,
    get_generators,
    keep_generators,
    seed_generators,
    set_generators,
)
from hw2core.engine.run import TOLERANCE, NetworkError, build_trainer
from hw2core.engine.trainer import RunTrainer
from hw2core.gpus import CUDA_GRAPH
from hw2core.runs.weights import serialize_weights

NUM_IMAGES = 2  # of a step: few, for networks that are made for a GPU, but batch norm needs two
CPU = torch.device("cpu")
COPIED = (
    "cannot be copied after training (keep only detached tensors: x.detach()), or cannot compute "
    "the logits of a single image"
)
REBUILT = (
    "built again with the same weights, it gives other logits; register what they depend on as a "
    "buffer, draw nothing in evaluation mode, and let no function hold a reference to the network, "
    "of which averaged weights (training.average) are a copy"
)
DIFFERS = (
    "continued from a checkpoint, it computes something else; what training changes must be a "
    "parameter or a buffer, and what it draws must come from the global generators of torch, NumPy "
    "or Python"
)


def check_network(spec: RunSpec) -> None:
    """Train a few steps on the CPU, and again from a checkpoint between them.

    Raises:
        NetworkError: nothing in the network counts as cost, or a step changes what checkpoints,
            averaged weights or CUDA graphs would miss.
        Exception: any that the network raises, with a note that says where.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, the gradient of indexing adds up in any order
    try:
        with keep_generators(CPU):
            try:
                problem = _rehearse(spec, NUM_IMAGES)
            except Exception:  # as of a norm over parts of a batch
                problem = _rehearse(spec, spec.training.batch_size)
    finally:
        torch.set_num_threads(threads)
    if problem:
        raise NetworkError(f"{spec.implementation}: {problem}")


def _rehearse(spec: RunSpec, num_images: int) -> str:
    """Return what is wrong with the network; an empty string for nothing."""
    classes = spec.data.num_classes
    x, y = torch.randn(num_images, *IN_SIZE), torch.arange(num_images) % classes
    batch = x * (1 + torch.arange(num_images)).view(-1, 1, 1, 1), y  # images that differ
    problem = "cannot be built"
    try:
        trainers, states = [], []
        for seed in range(2):
            seed_generators(seed)
            trainers.append(build_trainer(spec, CPU, num_steps=9))
            states.append(_describe_generators())
        first, second = trainers
        seeded = _find_seeded(*states)
        with _run_eagerly():
            problem = f"cannot train on {num_images} images"
            changed = _train(first, *batch)
            problem = COPIED
            costs = first.count_costs(IN_SIZE)
            problem = "weights that cannot be saved as safetensors"
            serialize_weights(first.get_weights())
            problem = "cannot be built again with its weights"
            second.load_weights(first.get_weights())
            logits = [x.compute_logits([batch])[0].nan_to_num() for x in trainers]
            shape = tuple(logits[0].shape)
            alone = [
                first.compute_logits([(x[None], y[None])])[0] for x, y in zip(*batch, strict=True)
            ]
            problem = "cannot go on from a checkpoint"
            state, generators = copy.deepcopy(first.get_state()), get_generators(CPU)
            first.set_training_mode(True)
            first.take_step(*batch)
            second.load_state(state)
            set_generators(generators, CPU)
            second.set_training_mode(True)
            second.take_step(*batch)
            same = _is_same(first, second, batch)
    except Exception as error:
        # Not a UserError: who wrote the network needs the traceback.
        error.add_note(f"{spec.implementation}: {problem}")
        raise
    if changed := seeded + changed:
        return changed[0]
    if shape != (num_images, classes):
        must = f"must be {(num_images, classes)}, a logit per class (use out_classes)"
        return f"its logits of {num_images} images have the shape {shape}; {must}"
    if not all(costs):
        return "no parameters, or no convolution or product"
    if not torch.equal(*logits):
        return REBUILT
    together, single = logits[0], torch.cat(alone).nan_to_num()
    if not torch.allclose(together, single, rtol=0, atol=TOLERANCE * together.abs().max().item()):
        return "the logits of an image depend on the other images of its batch, in evaluation mode"
    return "" if same else DIFFERS


def check_graph(spec: RunSpec, device: torch.device) -> None:
    """Check that a step on a GPU draws nothing on the CPU, which a CUDA graph would not repeat.

    Raises:
        GraphError: it does.
    """
    graphs = device.type == "cuda" and not os.environ.get(CUDA_GRAPH, "").startswith("0")
    if graphs and draws_on_cpu(spec, device):
        raise GraphError(
            "no CUDA graph: the network draws on the CPU, which a graph would not repeat; "
            f"{CUDA_GRAPH}=0 trains without"
        )


def draws_on_cpu(spec: RunSpec, device: torch.device) -> bool:
    """Return whether a step on ``device`` draws from torch's generator of the CPU."""
    with keep_generators(device):
        trainer = build_trainer(spec, device, num_steps=1)
        trainer.set_training_mode(True)
        num_images = spec.training.batch_size
        x = torch.zeros(num_images, *IN_SIZE, device=device)  # (N, C, H, W)
        y = torch.arange(num_images, device=device) % spec.data.num_classes
        before = torch.get_rng_state()
        trainer.train_step(x, y)
        return not torch.equal(before, torch.get_rng_state())


@contextmanager
def _run_eagerly() -> Iterator[None]:
    """Compile nothing, where torch.compile is used: the CPU may have no compiler."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _train(trainer: RunTrainer, x: Tensor, y: Tensor) -> list[str]:
    """Train, evaluate and probe ``trainer``; return what that changes in ways that are not kept."""
    model = trainer.model if isinstance(trainer.model, nn.Module) else nn.Module()
    tensors: dict[str, Tensor] = model.state_dict(keep_vars=True)
    places = {name: tensor.data_ptr() for name, tensor in tensors.items()}
    # Torch's batch norm reads its count of batches in training only.
    counts = {
        name: tensor.clone()
        for name, tensor in tensors.items()
        if not tensor.is_floating_point() and not name.endswith("num_batches_tracked")
    }
    numbers, states = [], []
    trainer.set_training_mode(True)
    for seed in range(2):
        seed_generators(seed)
        trainer.take_step(x, y)
        numbers.append(_list_numbers(model))
        states.append(_describe_generators())
    found = _find_seeded(*states)
    trainer.probe_layers(x, y)
    trainer.compute_logits([(x, y)])
    found += [
        f"a training step assigns {name}, which averaged weights and CUDA graphs miss; change it "
        f"in place (self.{name.rpartition('.')[2]}.copy_(...))"
        for name, tensor in model.state_dict(keep_vars=True).items()
        if tensor is not tensors.get(name) or tensors[name].data_ptr() != places[name]
    ]
    # Each step, unlike a size that is noted once.
    found += [
        f"a training step changes the number {name}, which checkpoints and CUDA graphs miss; "
        "register it as a buffer, and change it in place"
        for name, value in numbers[-1].items()
        if value != numbers[0].get(name, value)
    ]
    if getattr(trainer, "ema", None) is not None:
        found += [
            f"a training step changes {name}, which is not averaged (training.average); register "
            "it as floats"
            for name, value in counts.items()
            if not torch.equal(value, tensors[name])
        ]
        shared = [name for name, place in places.items() if [*places.values()].count(place) > 1]
        found += [
            f"{name} is shared, and would be averaged twice (training.average)"
            for name in shared
            if tensors[name].numel()
        ]
    return found


def _describe_generators() -> dict[str, object]:
    python, *numpy = describe_host_generators()
    return {"torch": torch.get_rng_state().tolist(), "NumPy": numpy, "Python": python}


def _find_seeded(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Return what is wrong where generators that began with two seeds have the same state."""
    return [
        f"seeds the generator of {name}, so that all seeds of a run would be the same; leave it out"
        for name, state in one.items()
        if state == other[name]
    ]


def _list_numbers(model: nn.Module) -> dict[str, int]:
    return {
        f"{place}.{name}".lstrip("."): value
        for place, module in model.named_modules()
        for name, value in vars(module).items()
        if type(value) is int
    }


@torch.no_grad()
def _is_same(first: RunTrainer, second: RunTrainer, batch: tuple[Tensor, Tensor]) -> bool:
    """Return whether two trainers have the same weights, and their networks the same logits."""
    found = []
    for trainer in (first, second):
        values = [*trainer.get_weights().values(), trainer.compute_logits([batch])[0]]
        if isinstance(trainer.model, nn.Module):  # beside it, an EMA may be what is evaluated
            values += [*trainer.model.state_dict().values(), trainer.model.eval()(batch[0])]
        found.append([value.nan_to_num() for value in values])
    return all(map(torch.equal, *found))
