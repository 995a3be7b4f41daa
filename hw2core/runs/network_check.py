"""Before a training: a rehearsal of what could fail, or go wrong unseen, until its end."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hw2core.config.architectures import IN_SIZE
from hw2core.config.spec import RunSpec
from hw2core.engine.cuda_graph import GraphError
from hw2core.engine.generators import (
    get_generators,
    keep_generators,
    seed_generators,
    set_generators,
)
from hw2core.engine.run import TOLERANCE, NetworkError, build_trainer
from hw2core.engine.trainer import RunTrainer
from hw2core.gpus import CUDA_GRAPH
from hw2core.runs.code_hash import hash_modules
from hw2core.runs.opened import find_unhashed, watch_files
from hw2core.runs.step_check import SEEDS, describe_generators, find_seeded, watch_steps
from hw2core.runs.weights import serialize_weights

NUM_IMAGES = 2  # of a step: few, for networks that are made for a GPU, but batch norm needs two
ROUNDING = 1e-6  # of the largest logit: products of another number of rows, as of experts
PLACES = 1e-4  # of the largest logit: vectors whose last elements have kernels of their own
CPU = torch.device("cpu")
COPIED = (
    "cannot be copied after training (keep only detached tensors: x.detach()), or cannot compute "
    "the logits of a single image"
)
REBUILT = (
    "built again with the same weights, it gives other logits; register what they depend on as a "
    "buffer, compute anew what depends on weights, draw nothing in evaluation mode, and let no "
    "function hold a reference to the network, of which averaged weights (training.average) are a "
    "copy"
)
ELSEWHERE = (
    "another process that loads its weights, as for evaluation, gets other logits; register as a "
    "buffer what its module, its class or a cache holds, and compute anew what depends on weights"
)
DIFFERS = (
    "continued from a checkpoint, it computes something else; what training changes must be a "
    "parameter or a buffer, and what it draws must come from the global generators of torch, NumPy "
    "or Python"
)


def check_network(spec: RunSpec) -> None:
    """Train a few steps on the CPU, and again from a checkpoint between them.

    Raises:
        NetworkError: nothing in the network counts as cost, a step changes what checkpoints,
            averaged weights or CUDA graphs would miss, or it reads a file that no hash covers.
        Exception: any that the network raises, with a note that says where.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with more, the gradient of indexing adds up in any order
    try:
        with keep_generators(CPU), watch_files() as opened:
            try:
                problem = _rehearse(spec, NUM_IMAGES)
            except Exception:  # as of a norm over parts of a batch
                problem = _rehearse(spec, spec.training.batch_size)
    finally:
        torch.set_num_threads(threads)
    if problem := problem or find_unhashed(opened, spec):
        raise NetworkError(f"{spec.implementation}: {problem}")


def _rehearse(spec: RunSpec, num_images: int) -> str:
    """Return what is wrong with the network; an empty string for nothing."""
    classes = spec.data.num_classes
    x, y = torch.randn(num_images, *IN_SIZE), torch.arange(num_images) % classes
    x *= (1 + torch.arange(num_images)).view(-1, 1, 1, 1)  # images that differ
    batch = x.contiguous(memory_format=torch.channels_last), y  # as in training
    problem = "cannot be built"
    try:
        seed_generators(SEEDS[0])
        first, one = build_trainer(spec, CPU, num_steps=9), describe_generators()
        seed_generators(SEEDS[1])
        second, other = build_trainer(spec, CPU, num_steps=9), describe_generators()
        seeded = find_seeded(one, other)
        with _run_eagerly():
            problem = f"cannot compute the logits of {num_images} images"
            mixes = _mixes_images(first, *batch)  # before training, which may end at a constant
            buffers = _copy_buffers(first)
            problem = f"cannot train on {num_images} images"
            changed = watch_steps(first, *batch)
            # Buffers that the first training images fill may be without a value before.
            mixes = mixes and all(map(torch.equal, buffers, _copy_buffers(first)))
            problem = COPIED
            costs = first.count_costs(IN_SIZE)
            problem = "weights that cannot be saved as safetensors"
            serialize_weights(first.get_weights())
            problem = "cannot be built again with its weights"
            second.load_weights(first.get_weights())
            logits = [x.compute_logits([batch])[0].nan_to_num() for x in (first, second)]
            alone = torch.cat(
                [first.compute_logits([(x[None], y[None])])[0] for x, y in zip(*batch, strict=True)]
            )
            mixes |= _mixes_images(first, *batch)
            problem = "cannot go on from a checkpoint"
            state, generators = copy.deepcopy(first.get_state()), get_generators(CPU)
            first.set_training_mode(True)
            first.take_step(*batch)
            second.load_state(state)
            set_generators(generators, CPU)
            second.set_training_mode(True)
            second.take_step(*batch)
            same = _is_same(first, second, batch)
            del state, second  # for networks that need much memory
            logits += [first.compute_logits([batch])[0].nan_to_num()]
            problem = "cannot be imported again, and built with its weights"
            with _import_anew(hash_modules([spec.implementation])):
                third = build_trainer(spec, CPU, num_steps=9)
                third.load_weights(first.get_weights())
                logits += [third.compute_logits([batch])[0].nan_to_num()]
    except Exception as error:
        # Not a UserError: who wrote the network needs the traceback.
        error.add_note(f"{spec.implementation}: {problem}")
        raise
    if changed := seeded + changed:
        return changed[0]
    (together, again, after, elsewhere), must = logits, (num_images, classes)
    for shape in map(tuple, (together.shape, alone.shape)):
        if shape != must:
            rule = f"must be {must}, a logit per class (use out_classes)"
            return f"its logits of {num_images} images have the shape {shape}; {rule}"
    if not all(costs):
        return "no parameters, or no convolution or product"
    if not torch.equal(together, again):
        return REBUILT
    # One image alone has other kernels, which bf16 shows.
    if mixes or not _is_close(together, alone.nan_to_num(), TOLERANCE):
        return "the logits of an image depend on the other images of its batch, in evaluation mode"
    if not same:
        return DIFFERS
    return "" if torch.equal(after, elsewhere) else ELSEWHERE


@torch.no_grad()
def _mixes_images(trainer: RunTrainer, x: Tensor, y: Tensor) -> bool:
    """Return whether the logits of an image depend on another one, or on its place."""
    mixed = x.clone()
    mixed[-1] = torch.randn(IN_SIZE)
    turned = x.flip(0).contiguous(memory_format=torch.channels_last)
    logits, beside, back = (
        trainer.compute_logits([(images, y)])[0].nan_to_num() for images in (x, mixed, turned)
    )
    same = _is_close(logits[:-1], beside[:-1], ROUNDING)
    return not (same and _is_close(logits, back.flip(0), PLACES))


def _copy_buffers(trainer: RunTrainer) -> list[Tensor]:
    """Return the buffers but for those of batch norm, which have a value before training."""
    of_norms = "running_mean", "running_var", "num_batches_tracked"
    buffers = trainer.model.named_buffers() if isinstance(trainer.model, nn.Module) else ()
    return [value.clone() for name, value in buffers if name.rpartition(".")[2] not in of_norms]


def _is_close(logits: Tensor, others: Tensor, size: float) -> bool:
    return torch.allclose(logits, others, rtol=0, atol=size * logits.abs().max().item())


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
def _import_anew(names: Iterable[str]) -> Iterator[None]:
    """Import modules a second time, as another process would; then go on with the first ones."""
    before = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@contextmanager
def _run_eagerly() -> Iterator[None]:
    """Compile nothing, where torch.compile is used: the CPU may have no compiler."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@torch.no_grad()
def _is_same(first: RunTrainer, second: RunTrainer, batch: tuple[Tensor, Tensor]) -> bool:
    """Return whether two trainers have the same weights, and their networks the same logits."""
    found = []
    for trainer in (first, second):
        values = [*trainer.get_weights().values(), trainer.compute_logits([batch])[0]]
        if isinstance(trainer.model, nn.Module):  # beside it, an EMA may be what is evaluated
            trainer.model.eval()
            values += [*trainer.model.state_dict().values(), trainer.model(batch[0])]
        found.append([value.nan_to_num() for value in values])
    return all(map(torch.equal, *found))
