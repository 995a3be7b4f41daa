"""Trains one network on CIFAR-10 and reads results: the course's calls and command line."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from hw2core.config.errors import ConfigError, describe_errors
from hw2core.config.images import DataSpec
from hw2core.config.reading import read_config
from hw2core.config.spec import RunSpec
from hw2core.config.study import STUDY_FILE
from hw2core.data.datasets import prepare
from hw2core.data.prepared import PreparedData, load_prepared
from hw2core.engine.recorder import Recorder
from hw2core.engine.run import EVALUATION_BATCH
from hw2core.errors import UserError
from hw2core.history import FitResult
from hw2core.runs import paths
from hw2core.runs.environment import count_allotted_threads, use_large_pages
from hw2core.runs.files import read_result, write_single_file
from hw2core.runs.log import format_epoch, open_log
from hw2core.runs.make import make_evaluation, make_result
from hw2core.runs.outcome import judge_status


def run_experiment(
    run_name: str,
    out_dir: str = "./results",
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
    filters_per_layer: Sequence[int] = (64,),
    layers_per_block: int = 2,
    pool_every: int = 2,
    hidden_dims: Sequence[int] = (1024,),
    model_type: str = "cnn",
    *,
    data: dict[str, Any] | None = None,
    **kw: Any,
) -> FitResult:
    """Train one network on CIFAR-10 and write ``{out_dir}/{run_name}_L{L}_K{K}.json``.

    The optimizer is AdamW at a constant learning rate. Each epoch is evaluated on the validation
    split. The test images are evaluated once, with the weights of the best epoch; the result is in
    the file's metadata.

    Args:
        run_name: a name; the suffix ``_L{L}_K{K}`` is added unless it ends in it already.
        out_dir: folder of the result.
        seed: seed of initialisation, order and augmentation; None draws one. 0 is a seed.
        device: device name; None for the first available of cuda, mps and cpu.
        bs_train: images per training batch.
        bs_test: images per evaluation batch; None for the project's default.
        batches: batches per epoch; None for the whole training set.
        epochs: largest number of epochs.
        early_stopping: stop after this many epochs without a lower validation loss; None: never.
        checkpoints: file name without extension for weights, saved when validation improves.
        lr: learning rate.
        reg: weight decay.
        filters_per_layer: channels K; each is repeated ``layers_per_block`` times, in order.
        layers_per_block: convolutions L of each width.
        pool_every: convolutions P before each pool.
        hidden_dims: widths of the hidden linear layers.
        model_type: "cnn", "resnet" or "ycn".
        data: as ``data`` in config.yaml; None for that of config.yaml itself.
        kw: further arguments of the model, such as ``batchnorm=True`` for "resnet".

    Raises:
        ConfigError: an argument is not allowed; names it, its value and what is allowed.
        DataError: the images are damaged or cannot be downloaded.
    """
    seed = torch.seed() % 2**32 if seed is None else int(seed)
    if not 0 <= seed < 2**64:
        raise ConfigError("run_experiment", [f"seed: {seed}: must be from 0 to 2**64 - 1"])
    architecture = {
        "filters_per_layer": list(filters_per_layer),
        "layers_per_block": layers_per_block,
        "pool_every": pool_every,
        "hidden_dims": list(hidden_dims),
        **kw,
    }
    training = {
        "epochs": epochs,
        "batch_size": bs_train,
        "batches": batches,
        "optimizer": "adamw",
        "lr": lr,
        "weight_decay": reg,
        "schedule": "constant",
        "early_stopping": early_stopping,
    }
    try:
        spec = RunSpec.model_validate(
            {
                "experiment": run_name,
                "model": model_type,
                "architecture": architecture,
                "training": training,
                "data": data or read_config(STUDY_FILE)["data"],
            }
        )
    except ValidationError as error:
        problems = describe_errors(error, lambda location: str(location[-1]))
        raise ConfigError("run_experiment", problems) from None

    log = open_log(spec.name)
    images = load_or_prepare(spec.data, log)
    batch_size = bs_test or EVALUATION_BATCH
    result, trained = make_result(
        spec,
        seed,
        images,
        Recorder(on_epoch=lambda recorder: log.info(format_epoch(recorder))),
        device=device,
        evaluation_batch=batch_size,
        checkpoints=checkpoints,
    )
    evaluation = make_evaluation(
        result,
        trained.weights,
        images,
        num_images=spec.data.test,
        device=device,
        batch_size=batch_size,
    )
    path = paths.flat_result_path(out_dir, spec.name)
    write_single_file(path, result, evaluation)
    log.info(
        f"{judge_status(result)}: test accuracy {evaluation.accuracy:.2f} % with the "
        f"weights of epoch {result.best_epoch}, {result.timing.seconds:.0f} s -> {path}"
    )
    return trained.history


def load_experiment(filename: Path | str) -> tuple[dict[str, Any], FitResult]:
    """Read a result file and return its ``(config, FitResult)``; "test" is validation.

    Raises:
        ResultError: the file is missing, damaged or of another format.
    """
    result = read_result(filename)
    return result.config, result.epochs.as_fit_result()


def load_or_prepare(spec: DataSpec, log: logging.Logger) -> PreparedData:
    """Return the images of ``spec``, prepared first if they are not yet."""
    manifest = Path(paths.manifest_path(spec.folder))
    if not manifest.exists():
        log.info(f"preparing {spec.folder} in {manifest.parent}")
        prepare(spec, manifest.parent)
    return load_prepared(manifest)


def parse_cli(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the arguments of ``run_experiment`` that a command line gives."""
    parser = argparse.ArgumentParser(prog="python -m hw2core.experiments")
    commands = parser.add_subparsers(dest="command", required=True)
    exp = commands.add_parser("run-exp", help="train one network and write its result")
    exp.add_argument("-n", "--run-name", required=True, help="name of the run and its output file")
    exp.add_argument("-o", "--out-dir", help="folder of the result")
    exp.add_argument("-s", "--seed", type=int, help="random seed")
    exp.add_argument("-d", "--device", help="cuda, mps or cpu")
    exp.add_argument("--bs-train", type=int, metavar="N", help="images per training batch")
    exp.add_argument("--bs-test", type=int, metavar="N", help="images per evaluation batch")
    exp.add_argument("--batches", type=int, metavar="N", help="batches per epoch")
    exp.add_argument("--epochs", type=int, metavar="N", help="largest number of epochs")
    exp.add_argument("--early-stopping", type=int, metavar="N", help="epochs without improvement")
    exp.add_argument("--checkpoints", metavar="FILE", help="weights, without extension")
    exp.add_argument("--lr", type=float, help="learning rate")
    exp.add_argument("--reg", type=float, help="weight decay")
    number: dict[str, Any] = {"type": int, "required": True}
    widths = number | {"nargs": "+"}
    exp.add_argument("-K", "--filters-per-layer", metavar="K", help="channels", **widths)
    exp.add_argument("-L", "--layers-per-block", metavar="L", help="layers per width", **number)
    exp.add_argument("-P", "--pool-every", metavar="P", help="layers before a pool", **number)
    exp.add_argument("-H", "--hidden-dims", metavar="H", help="hidden linear widths", **widths)
    exp.add_argument("-M", "--model-type", help="cnn, resnet or ycn")
    given = vars(parser.parse_args(arguments))
    # The defaults are those of run_experiment.
    return {k: v for k, v in given.items() if v is not None and k != "command"}


def main() -> int:
    """Run the command line; wrong arguments and damaged data end in one line, not a traceback."""
    try:
        use_large_pages()
        torch.set_num_threads(count_allotted_threads())
        run_experiment(**parse_cli())
    except (UserError, ValueError) as error:
        print(f"run-exp: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
