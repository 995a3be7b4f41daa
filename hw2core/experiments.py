"""One run from spec to result, and the course's calls on top of it.

``python -m hw2core.experiments run-exp`` is the course's command line.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from hw2core import artifacts, result_files
from hw2core.atomic import WriteError
from hw2core.checkpoint import Checkpoint
from hw2core.command_line import parse_cli
from hw2core.config_file import ConfigError, describe_errors, read_config
from hw2core.data.prepared import DataError, PreparedData, load_prepared
from hw2core.data.sources import prepare
from hw2core.environment import describe_environment
from hw2core.epoch_watch import EpochReport
from hw2core.fit_results import FitResult
from hw2core.machine import count_allotted_threads, use_large_pages
from hw2core.progress import format_epoch, open_log
from hw2core.runner import EVALUATION_BATCH, TrainedRun, train_run
from hw2core.spec import DataSpec, RunSpec, hash_config
from hw2core.staleness import code_hash, hash_run_code
from hw2core.study import STUDY_FILE


def identify(spec: RunSpec, seed: int, data: PreparedData) -> dict[str, str]:
    """Return the hashes that make a training this one: of its spec and seed, code and data."""
    return {
        "spec_hash": hash_config(spec.describe(seed)),
        "code_hash": code_hash(spec),
        "data_sha256": data.sha256,
    }


def run(
    spec: RunSpec,
    seed: int,
    data: PreparedData,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    **options: Any,
) -> tuple[dict[str, Any], TrainedRun]:
    """Train one run and return the result document with what it was made from.

    With a ``checkpoint``, training goes on from it where it can, and keeps it up to date; it is
    the caller's to remove once the result is written. ``options`` are those of
    ``runner.train_run``. The hashes are taken before training, so that an edit of the code in the
    meantime makes the result stale.
    """
    identity, code = identify(spec, seed, data), hash_run_code(spec)
    if checkpoint is not None:
        options |= {"resume_from": checkpoint.load(), "on_snapshot": checkpoint.save}
    trained = train_run(spec, seed, data, on_epoch=on_epoch, **options)
    metadata = {
        "format": result_files.FORMAT,
        **trained.facts,
        **describe_environment(trained.facts["device"]),
        "study_size": spec.study_size,
        **identity,
        "code": code,
    }
    document = {"config": spec.describe(seed), "results": trained.results, "metadata": metadata}
    return document, trained


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

    The optimizer is AdamW at a constant rate with weight decay ``reg``. After each epoch the
    network is evaluated on the validation split, not on the test images: those are evaluated once,
    at the best epoch, and stand in the file's metadata.

    Args:
        run_name: a name; the suffix ``_L{L}_K{K}`` is added unless it is there already.
        out_dir: folder of the result.
        seed: seed of initialisation, order and augmentation; None draws one. 0 is a seed.
        device: device name; None for cuda, mps or cpu, the first there is.
        bs_train: images a training batch.
        bs_test: images an evaluation batch; None for the project's default.
        batches: batches an epoch; None for the whole training set.
        epochs: largest number of epochs.
        early_stopping: epochs without a lower validation loss; None trains them all.
        checkpoints: file name without extension for weights, saved when validation improves.
        lr: learning rate.
        reg: weight decay.
        filters_per_layer: widths K; each is repeated ``layers_per_block`` times, in order.
        layers_per_block: convolutions L of each width.
        pool_every: convolutions P before each pool.
        hidden_dims: widths of the hidden linear layers.
        model_type: "cnn", "resnet" or "ycn".
        data: as ``data`` in config.yaml; None for what stands there.
        kw: further keywords of the model, such as ``batchnorm=True`` for "resnet".

    Raises:
        ConfigError: an argument is not allowed; names it, its value and what is.
        DataError: the images are damaged or cannot be downloaded.
    """
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
                "name": run_name,
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
    suffix = f"_{spec.architecture.name_suffix}"
    name = run_name if run_name.endswith(suffix) else run_name + suffix
    spec = spec.model_copy(update={"name": name})

    log = open_log(name)
    document, trained = run(
        spec,
        torch.seed() % 2**32 if seed is None else seed,
        load_or_prepare(spec.data, log),
        device=device,
        evaluation_batch=bs_test or EVALUATION_BATCH,
        checkpoints=checkpoints,
        on_epoch=lambda report: log.info(format_epoch(report)),
    )
    path = artifacts.flat_result_path(out_dir, name)
    result_files.write_result(path, document)
    log.info(summarize(document, path))
    return trained.results


def load_experiment(filename: Path | str) -> tuple[dict[str, Any], FitResult]:
    """Read a result file and return its ``(config, FitResult)``.

    Raises:
        ArtifactError: the file is missing, damaged or of another format.
    """
    document = result_files.read_result(filename)
    return document["config"], FitResult(**document["results"])


def load_or_prepare(spec: DataSpec, log: logging.Logger) -> PreparedData:
    """Return the prepared images of ``spec``, preparing them first where they are not yet."""
    manifest = Path(artifacts.manifest_path(spec.folder))
    if not manifest.exists():
        log.info(f"preparing {spec.folder} in {manifest.parent}")
        prepare(spec, manifest.parent)
    return load_prepared(manifest)


def summarize(document: dict[str, Any], path: str) -> str:
    """Return one closing line on a result."""
    facts = document["metadata"]
    return (
        f"{facts['status']}: test accuracy {facts['test_accuracy']:.2f} % with the weights of "
        f"epoch {facts['best_epoch']}, {facts['seconds']:.0f} s -> {path}"
    )


def main() -> int:
    """Run the command line; a wrong argument or damaged data end in one line, not a traceback."""
    try:
        use_large_pages()
        torch.set_num_threads(count_allotted_threads())
        run_experiment(**parse_cli())
    except (ConfigError, DataError, ValueError, WriteError) as error:
        print(f"run-exp: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
