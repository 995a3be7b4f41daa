"""Trains and evaluates runs; returns typed results and evaluations."""

from __future__ import annotations

import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch
from pydantic import ValidationError

from hw2core.config.spec import RunSpec
from hw2core.engine.device import pick_device, ran_out_of_memory, shorten
from hw2core.engine.generators import get_generators, set_generators
from hw2core.engine.run import TrainedRun, train_run
from hw2core.errors import UserError
from hw2core.evaluation import evaluate_weights
from hw2core.gpus import check_device
from hw2core.io import WriteError
from hw2core.runs.code_hash import combine_hashes, hash_evaluation_code, hash_run_code
from hw2core.runs.environment import describe_environment, read_commit, refuse_overrides
from hw2core.runs.network_check import check_graph, check_network
from hw2core.runs.recordable import check_recordable
from hw2core.runs.schema import (
    Environment,
    Epochs,
    Evaluation,
    Layers,
    Result,
    Timing,
)
from hw2core.runs.values import measure_class_accuracy

if TYPE_CHECKING:
    from torch import Tensor

    from hw2core.data.prepared import PreparedData
    from hw2core.engine.recorder import Recorder

TORCH_WRITES = re.compile("inline_container|PytorchStreamWriter")  # in an error of torch.save
P = ParamSpec("P")
T = TypeVar("T")

# Random numbers, settings and temporary files are those of the process. By its number, because a
# forked process would inherit a lock that is held.
LOCKS: dict[int, threading.RLock] = {}


@contextmanager
def wait_for_turn() -> Iterator[None]:
    """Hold the lock that a run of this process holds; say so before waiting for another thread."""
    lock = LOCKS.setdefault(os.getpid(), threading.RLock())
    if not lock.acquire(blocking=False):
        print("waits until the run of another thread has ended", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def take_turns(function: Callable[P, T]) -> Callable[P, T]:
    """Let calls of several threads take turns."""

    @wraps(function)
    def wait_and_call(*args: P.args, **options: P.kwargs) -> T:
        with wait_for_turn():
            return function(*args, **options)

    return wait_and_call


def make_result(
    spec: RunSpec, seed: int, data: PreparedData, recorder: Recorder | None = None, **options: Any
) -> tuple[Result, TrainedRun]:
    """Train one run; return its result and, with the weights, what ``train_run`` returned.

    Code and commit are recorded before training, so that an edit during training makes the result
    stale. ``options`` are passed to ``train_run``.

    Raises:
        UserError: the device cannot be used, or has too little memory; the environment changes
            what torch computes; or no result could hold the settings or the costs of the run.
    """
    check_device(options.get("device"))
    refuse_overrides()
    check_recordable(spec)
    code, commit = hash_run_code(spec), read_commit()
    with use_device(options.get("device")), explain_memory():
        check_network(spec)
        refuse_overrides()  # again, because the network's module may set some
        check_graph(spec, pick_device(options.get("device")))
        trained = train_run(spec, seed, data, recorder, **options)
    environment = {
        "device": trained.device,
        "precision": trained.precision,
        "threads": trained.threads,
        "cuda_graph": trained.cuda_graph,
        **describe_environment(trained.device),
        "git_commit": commit,
    }
    result = Result(
        config=spec.describe(seed),
        best_epoch=trained.best_epoch,
        epochs=Epochs.of(trained.history),
        **trained.costs._asdict(),
        layers=_describe_layers(trained.layers),
        timing=Timing(**trained.timing._asdict()),
        environment=Environment.model_validate(environment),
        spec_hash=spec.hash_identity(seed),
        code=code,
        code_hash=combine_hashes(code),
        data_sha256=data.sha256,
    )
    return result, trained


def _describe_layers(layers: dict[str, Any] | None) -> Layers | None:
    try:
        return None if layers is None else Layers.model_validate(layers)
    except ValidationError:  # not worth a finished training
        warnings.warn(
            "no layers are recorded: there are too many, or not the same ones in each probe",
            stacklevel=2,
        )
        return None


def make_evaluation(
    result: Result,
    weights: Mapping[str, Tensor],
    data: PreparedData,
    *,
    num_images: int,
    **options: Any,
) -> Evaluation:
    """Evaluate the weights of ``result`` on the first ``num_images`` test images.

    ``options`` are passed to ``evaluate_weights``.

    Raises:
        UserError: the device cannot be used, or has too little memory; or the environment changes
            what torch computes.
    """
    check_device(options.get("device"))
    refuse_overrides()
    spec = RunSpec.from_config(result.config)
    options |= {"num_images": num_images, "precision": result.environment.precision}
    with use_device(options.get("device")), explain_memory():
        metrics = evaluate_weights(spec, weights, data, **options)
    return Evaluation(
        run=result.name,
        seed=result.seed,
        class_accuracy=measure_class_accuracy(metrics["confusion"]),
        **metrics,
        code=hash_evaluation_code(),
        run_code=result.code_hash,
        data_sha256=data.sha256,
        weights_sha256=result.weights_sha256,
    )


@contextmanager
def use_device(name: str | None) -> Iterator[None]:
    """Make a GPU, such as cuda:1, the current one, on which torch captures graphs.

    A notebook goes on with its own random numbers and settings. Runs in several threads take turns.

    Raises:
        DeviceError: the device cannot be used.
    """
    device = pick_device(name)
    current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    switches = keep_switches() if device.type == "cuda" else nullcontext()
    with wait_for_turn(), current, switches:
        states = get_generators(device)
        try:
            yield
        finally:
            with suppress(RuntimeError):  # on a GPU where the capture of a graph has failed
                set_generators(states, device)


@contextmanager
def keep_switches() -> Iterator[None]:
    """Restore what a run switches for a GPU: TF32, and whether it must be deterministic."""
    deterministic = _get_deterministic()
    cudnn: Any = torch.backends.cudnn
    kinds, products = (cudnn.conv, cudnn.rnn), torch.backends.cuda.matmul
    before = products.fp32_precision, [kind.fp32_precision for kind in kinds]
    allowed = None
    with suppress(RuntimeError):  # where the newer settings are used
        allowed = cudnn.allow_tf32
    try:
        yield
    finally:
        if allowed is not None:
            cudnn.allow_tf32 = allowed
        else:
            for kind, precision in zip(kinds, before[1], strict=True):
                kind.fp32_precision = precision
        products.fp32_precision = before[0]
        if _get_deterministic() != deterministic:
            torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])


def _get_deterministic() -> tuple[bool, bool]:
    enabled = torch.are_deterministic_algorithms_enabled()
    return enabled, torch.is_deterministic_algorithms_warn_only_enabled()


@contextmanager
def explain_memory() -> Iterator[None]:
    """Turn an error of too little memory or disk space into one line that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if TORCH_WRITES.search(str(error)):
            raise WriteError(f"the best weights cannot be written ({shorten(error)})") from None
        if not ran_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory ({shorten(error)}); run one job at a time (--jobs 1), with a smaller "
            "training.batch_size or with a smaller network"
        ) from None
