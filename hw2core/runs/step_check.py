"""What steps of a training change that checkpoints, averaged weights or costs would miss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hw2core.engine.generators import describe_host_generators, seed_generators
from hw2core.engine.trainer import RunTrainer

SEEDS = 60_201, 60_202  # which no module sets itself


def watch_steps(trainer: RunTrainer, x: Tensor, y: Tensor) -> list[str]:
    """Train, evaluate and probe ``trainer``; return what that changes in ways that are not kept."""
    model = trainer.model if isinstance(trainer.model, nn.Module) else nn.Module()
    tensors: dict[str, Tensor] = model.state_dict(keep_vars=True)
    # Kept, so that no new tensor gets the place of an old one.
    kept = {name: tensor.detach() for name, tensor in tensors.items()}
    places = {name: tensor.data_ptr() for name, tensor in kept.items()}
    # Torch's batch norm reads its count of batches in training only.
    counts = {
        name: tensor.clone()
        for name, tensor in tensors.items()
        if not tensor.is_floating_point() and not name.endswith("num_batches_tracked")
    }
    images, numbers, states = x.clone(), [], []
    for seed in SEEDS:
        trainer.set_training_mode(True)
        seed_generators(seed)
        trainer.take_step(x, y)
        numbers.append(_list_numbers(model))
        states.append(describe_generators())
    found = find_seeded(*states) + _find_hidden(model)
    frozen = [(name, p, p.clone()) for name, p in model.named_parameters() if not p.requires_grad]
    for _ in range(3):  # five passes: what takes turns is not where it began, unless five do
        trainer.probe_layers(x, y)
    found += [
        f"it changes {name} without a training step, as when layers are measured; register it as a "
        "buffer"
        for name, parameter, before in frozen
        if not torch.equal(parameter, before)
    ]
    trainer.compute_logits([(x, y)])
    if not torch.equal(x, images):
        found.append("it changes its input images in place; write x = x + ... for x += ...")
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


def describe_generators() -> dict[str, object]:
    """Return the states of the generators that a network may draw from, by library."""
    python, *numpy = describe_host_generators()
    return {"torch": torch.get_rng_state().tolist(), "NumPy": numpy, "Python": python}


def find_seeded(one: dict[str, object], other: dict[str, object]) -> list[str]:
    """Return what is wrong where generators that began with two seeds have the same state."""
    return [
        f"seeds the generator of {name}, so that all seeds of a run would be the same; leave it out"
        for name, state in one.items()
        if state == other[name]
    ]


def _find_hidden(model: nn.Module) -> list[str]:
    """Return what is wrong with layers that an optimizer or the count of operations would miss."""
    registered = {id(parameter) for parameter in model.parameters()}
    found = []
    for place, module in model.named_modules():
        if isinstance(module, nn.RNNBase):
            kind = type(module).__name__
            found.append(f"the operations of {place} would not be counted; use nn.{kind}Cell")
        for name, value in vars(module).items():
            values = value.values() if isinstance(value, dict) else value
            if not isinstance(value, (dict, list, tuple)):
                continue
            layers = [each for each in values if isinstance(each, nn.Module)]
            weights = [x for layer in layers for x in layer.parameters() if x.requires_grad]
            if any(id(x) not in registered for x in weights):
                kind = "ModuleDict" if isinstance(value, dict) else "ModuleList"
                where = f"{place}.{name}".lstrip(".")
                found.append(f"the layers in {where} would not be trained; use nn.{kind}")
    return found


def _list_numbers(model: nn.Module) -> dict[str, int]:
    return {
        f"{place}.{name}".lstrip("."): value
        for place, module in model.named_modules()
        for name, value in vars(module).items()
        if type(value) is int
    }
