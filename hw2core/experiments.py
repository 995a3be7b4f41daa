"""Trains one network on CIFAR-10 and reads results: the course's calls and command line."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # here, because the imports take seconds

    def stop(*_: object) -> None:
        """Exit on Ctrl-C without a traceback."""
        print("run-exp: stopped; no result is written", file=sys.stderr)
        sys.exit(130)

    signal.signal(signal.SIGINT, stop)

import torch

from hw2core.arguments import MODEL_TYPES, make_plain, read_number, read_or, read_spec
from hw2core.config.fields import MOST
from hw2core.config.images import DataSpec
from hw2core.data.prepared import PreparedData, load_prepared
from hw2core.engine.device import pick_device
from hw2core.engine.recorder import Recorder
from hw2core.engine.run import EVALUATION_BATCH
from hw2core.errors import UserError
from hw2core.history import FitResult, ValidatedFit
from hw2core.io import prepare_writing
from hw2core.runs import paths
from hw2core.runs.course import check_place, find_place, read_fit
from hw2core.runs.environment import count_allotted_threads, drop_overrides, use_large_pages
from hw2core.runs.files import write_single_file
from hw2core.runs.images import explain_images, prepare_images
from hw2core.runs.loaded import check_loaded
from hw2core.runs.log import format_epoch, open_log
from hw2core.runs.make import make_evaluation, make_result, take_turns
from hw2core.runs.outcome import judge_status

DESCRIPTION = """Train one network on CIFAR-10 and write its result.

After each epoch it is evaluated on validation images. Validation decides: it stops the training
and chooses the epoch whose weights are kept. The test images are evaluated once, with these
weights, at the end."""
EXAMPLE = "example: python -m hw2core.experiments run-exp -n test -K 32 64 -L 2 -P 2 -H 100"
DATA_PARTS = {"train": "training", "validation": "validation", "test": "test"}
# What None stands for.
UNSET = {
    "seed": "drawn",
    "device": "that of HW2_DEVICE, else the best there is",
    "bs_test": EVALUATION_BATCH,
    "checkpoints": "none",
}


@take_turns
def run_experiment(
    run_name: str,
    out_dir: Path | str = "./results",
    seed: int | None = None,
    device: str | None = None,
    bs_train: int = 128,
    bs_test: int | None = None,
    batches: int | None = 100,
    epochs: int = 100,
    early_stopping: int | None = 3,
    checkpoints: str | None = None,
    lr: float = 1e-3,
    reg: float = 1e-3,
    filters_per_layer: Sequence[int] | int = (64,),
    layers_per_block: int = 2,
    pool_every: int = 2,
    hidden_dims: Sequence[int] | int = (1024,),
    model_type: str = "cnn",
    *,
    data: dict[str, Any] | None = None,
    **kw: Any,
) -> FitResult:
    """Train one network on CIFAR-10 and write ``{out_dir}/{run_name}_L{L}_K{K}.json``.

    The optimizer is AdamW at a constant learning rate. Each epoch is evaluated on the validation
    split. The test images are evaluated once, with the weights of the best epoch; the file's
    metadata has the accuracy. If a larger result arrives in the file's place meanwhile, the log
    names another file. Numbers and arrays may be those of NumPy, and a single width stands for a
    list with one element.

    Args:
        run_name: name of the run; the suffix ``_L{L}_K{K}`` is added unless it is there already.
        out_dir: folder of the result.
        seed: seed of initialisation, order and augmentation; None draws one.
        device: device name; None for HW2_DEVICE, else the first available of cuda, mps and cpu.
        bs_train: images per training batch.
        bs_test: images per evaluation batch; None for the project's default.
        batches: batches per epoch; None for the whole training set.
        epochs: maximum number of epochs.
        early_stopping: stop after this many epochs without a lower validation loss; None: never.
        checkpoints: file name without extension for weights, saved when validation improves.
        lr: learning rate.
        reg: weight decay.
        filters_per_layer: channels K; each is repeated ``layers_per_block`` times, in order.
        layers_per_block: convolutions L of each width.
        pool_every: convolutions P before each pool.
        hidden_dims: widths of the hidden linear layers.
        model_type: "cnn", "resnet" or "ycn".
        data: keys that replace those of ``data`` in config.yaml: ``{"validation": 1000}``.
        kw: further arguments of the model, such as ``batchnorm=True`` for "resnet" or
            ``conv_params={"kernel_size": 5, "padding": 2}``.

    Returns:
        The curves, whose "test" set is the validation split.

    Raises:
        ConfigError: an argument is not allowed; names it, its value and what is allowed.
        WriteError: the result or the weights cannot be written.
        ResultError: a file that is no result is in its place; LossError: a larger result is.
        UserError: a module of hw2core was edited after it was imported.
        DeviceError: the device is not available.
        DataError: the images are damaged or cannot be downloaded.
    """
    given = make_plain(locals())
    check_loaded()
    spec = read_spec(given)
    seed = int.from_bytes(os.urandom(4)) if seed is None else given["seed"]
    seed = read_number("seed", seed, range(2**64), "0 to 2**64 - 1")
    batch_size = EVALUATION_BATCH if bs_test is None else given["bs_test"]
    batch_size = read_number("bs_test", batch_size, range(1, MOST + 1), f"1 to {MOST:,}")
    path = paths.flat_result_path(str(out_dir) or ".", spec.name)
    prepare_writing(path)
    check_place(path, spec)
    if checkpoints is not None:
        prepare_writing(f"{checkpoints}.pt")
    target = str(pick_device(device))
    log = open_log(spec.name)
    images = load_or_prepare(spec.data, log)
    result, trained = make_result(
        spec,
        seed,
        images,
        Recorder(on_epoch=lambda recorder: log.info(format_epoch(recorder))),
        device=target,
        evaluation_batch=batch_size,
        checkpoints=checkpoints,
    )
    evaluation = make_evaluation(
        result,
        trained.weights,
        images,
        num_images=spec.data.test,
        device=target,
        batch_size=batch_size,
    )
    write_single_file(path := find_place(path, spec, log), result, evaluation)
    log.info(
        f"{judge_status(result).replace('_', ' ')}: test accuracy {evaluation.accuracy:.2f} % "
        f"with the weights of epoch {result.best_epoch}, {result.timing.seconds:.0f} s -> {path}"
    )
    return ValidatedFit(*trained.history)


def load_experiment(filename: Path | str) -> tuple[dict[str, Any], FitResult]:
    """Read a result, also one of the course's format, and return its ``(config, FitResult)``.

    In a config of this project, the arguments of ``run_experiment`` are beside its sections, and
    its "test" means validation (a ``ValidatedFit``).

    Raises:
        ResultError: the file is missing, damaged or no result.
    """
    return read_fit(filename)


def load_or_prepare(spec: DataSpec, log: logging.Logger) -> PreparedData:
    """Return the images of ``spec``; prepare them first if they are missing or not current."""
    manifest = Path(paths.manifest_path(spec.folder))
    reasons = explain_images(spec)
    if reasons or not manifest.exists():
        log.info("; ".join([f"preparing {spec.folder} in {manifest.parent}", *reasons]))
        prepare_images(spec, manifest.parent)
        check_loaded()  # again: this may take long
    return load_prepared(manifest)


def parse_cli(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the arguments of ``run_experiment`` that a command line gives."""
    style: dict[str, Any] = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser("python -m hw2core.experiments", epilog=EXAMPLE, **style)
    commands = parser.add_subparsers(dest="command", required=True)
    exp = commands.add_parser(
        "run-exp", help="train one network", description=DESCRIPTION, epilog=EXAMPLE, **style
    )
    defaults = inspect.signature(run_experiment).parameters

    def add(*names: str, help: str, **options: Any) -> None:
        action = exp.add_argument(*names, help=help, default=argparse.SUPPRESS, **options)
        if not action.required and action.dest in defaults:
            default = defaults[action.dest].default
            action.help = f"{help} (default: {UNSET.get(action.dest, default)})"

    number: dict[str, Any] = {"type": int, "metavar": "N"}
    required = number | {"required": True}
    add("-n", "--run-name", required=True, help="name of the run and its output file")
    add("-K", "--filters-per-layer", nargs="+", help="channels of each stage", **required)
    add("-L", "--layers-per-block", help="convolutions of each stage", **required)
    add("-P", "--pool-every", help="convolutions before each pool", **required)
    add("-H", "--hidden-dims", nargs="+", help="widths of the hidden linear layers", **required)
    add("-M", "--model-type", choices=MODEL_TYPES, help="network")
    add("-o", "--out-dir", metavar="DIR", help="folder of the result")
    add("-s", "--seed", help="random seed", **number)
    add("-d", "--device", help="cuda, mps or cpu")
    add("--bs-train", help="images per training batch", **number)
    add("--bs-test", help="images per evaluation batch", **number)
    add("--batches", **read_or("all"), help="batches per epoch, or all: every training image")
    add("--epochs", help="largest number of epochs", **number)
    add(
        "--early-stopping",
        **read_or("off"),
        help="epochs without a lower validation loss before training stops, or off",
    )
    add("--checkpoints", metavar="FILE", help="file for the best weights, without extension")
    add("--lr", type=float, help="learning rate")
    add("--reg", type=float, help="weight decay")
    for part, name in DATA_PARTS.items():
        add(f"--{part}", help=f"{name} images (default: as in config.yaml)", **number)
    given = {k: v for k, v in vars(parser.parse_args(arguments)).items() if k != "command"}
    data = {part: given.pop(part) for part in DATA_PARTS if part in given}
    return {**given, "data": data} if data else given


def main() -> int:
    """Run the command line; report wrong arguments and damaged data in one line."""
    try:
        drop_overrides()
        use_large_pages()
        if not os.environ.get("OMP_NUM_THREADS"):  # torch has read it
            torch.set_num_threads(count_allotted_threads())
        run_experiment(**parse_cli())
    except (UserError, ValueError) as error:
        print(f"run-exp: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
