"""Describes what a Snakemake call would train and for how long, and refuses calls that do harm."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hw2core.config.errors import ConfigError
from hw2core.config.spec import RunSpec, Size
from hw2core.config.study import Study
from hw2core.errors import UserError
from hw2core.gpus import DEVICE
from hw2core.runs import paths
from hw2core.runs.checkpoint_head import explain_unused
from hw2core.runs.durations import ONE_BY_ONE, Estimator, find_device, read_finished
from hw2core.runs.files import ForeignResultError, ResultError, read_result
from hw2core.runs.selection import UnknownName, split_name, suggest
from hw2core.runs.staleness import explain_result

MOST_REASONS = 3  # in one line
MOST_NAMED = 4  # files of one folder


class LossError(UserError):
    """A call would replace a result with that of a smaller run."""


class Training(NamedTuple):
    """A planned run, with its threads and the share of this machine that it needs."""

    run: str
    seed: int
    threads: int
    share: float


def describe_plan(
    study: Study, pending: list[Training], *, has_gpu: bool, on_cluster: bool, status: str
) -> str:
    """Return one line: how many runs will be trained, about how long that takes, and why.

    ``status`` is the command that lists the runs.
    """
    device = find_device(has_gpu=has_gpu or on_cluster)
    finished, shares_gpu = read_finished(study).values(), has_gpu and not on_cluster
    estimator = Estimator(finished, device, pending[0].threads, shares_gpu=shares_gpu)
    seconds = [
        (estimator.estimate(study.runs[training.run]), 1.0 if on_cluster else training.share)
        for training in pending
    ]
    time = estimator.describe(seconds, f"{device}, {ONE_BY_ONE}" if on_cluster else "")
    line = f"{len(pending)} run{'s'[: len(pending) > 1]} to train, {time}"
    reasons = Counter(
        reason
        for run, seed, *_ in pending
        if Path(paths.result_path(run, seed)).exists()
        for reason in explain_result(study.runs[run], seed)
    )
    if reasons:
        shown = [f"{reason} ({runs})" for reason, runs in reasons.most_common(MOST_REASONS)]
        more = len(reasons) - len(shown)
        line += f"; stale: {'; '.join(shown)}" + (f"; and {more} other reasons" if more else "")
    unused = Counter(
        reason
        for run, seed, threads, _ in pending
        if (reason := explain_unused(study.runs[run], seed, threads=threads))
    )
    if unused:
        shown = [f"{reason} ({runs})" for reason, runs in unused.most_common(MOST_REASONS)]
        line += f"; not resumed from their checkpoints: {'; '.join(shown)}"
    return f"{line}. Each run: {status}"


def find_start(folder: Path | str | None) -> str:
    """Return the folder in which a call was typed that works in ``folder`` (its --directory)."""
    here = Path.cwd()
    places = [os.environ.get("PWD", ""), *map(str, here.parents)] if folder else []
    starts = (place for place in places if place and Path(place, str(folder)).resolve() == here)
    return next(starts, str(here))


def format_status_command(
    configs: Iterable[str], values: Iterable[str], *, checkout: str, start: str
) -> str:
    """Return the command that lists the runs of a call, as typed in the folder ``start``.

    Args:
        configs: the configuration files of the call, from the working folder.
        values: its ``--config``, as typed.
    """
    script = Path(checkout, "workflow_scripts", "status.py")
    words = ["python", os.path.relpath(script, start)]
    files = [os.path.relpath(path, start) for path in configs]
    if files != ["config.yaml"]:
        words += ["--configfile", *files]
    if given := list(values):
        words += ["--config", *given]
    folder = os.path.relpath(".", start)
    if folder != ".":
        words += ["--directory", folder]
    return shlex.join(words)


def describe_outputs(files: Iterable[str], *, start: str) -> str:
    """Return a line with the files that a call was asked for, as paths from the folder ``start``.

    Results come last. Of more than ``MOST_NAMED`` files in one folder, the folder is named. An SVG
    with a PNG is left out.
    """
    names = dict.fromkeys(files)
    folders: dict[str, list[str]] = {}
    for name in names:
        if not (name.endswith(".svg") and f"{name[:-4]}.png" in names):
            folders.setdefault(Path(name).parts[0], []).append(name)
    shown = []
    for folder, found in sorted(folders.items(), key=lambda item: item[0] == "results"):
        places = found if len(found) <= MOST_NAMED else [f"{folder}{os.sep}"]
        shown += [os.path.relpath(place, start) + "/" * place.endswith("/") for place in places]
    return f"Output: {', '.join(shown)}" if shown else ""


def refuse_loss(study: Study, results: Iterable[str]) -> None:
    """Refuse to replace results with those of smaller runs, or of runs on other images.

    Args:
        results: paths of the results that a call would write.

    Raises:
        LossError: with the first result that would be lost, and what to do.
    """
    specs = ((path, study.runs.get(split_name(path)[0])) for path in results)
    losses = [loss for path, spec in specs if spec and (loss := describe_loss(path, spec))]
    if losses:
        more = f", and so would {len(losses) - 1} more" if len(losses) > 1 else ""
        raise LossError(
            f"{losses[0]}{more}; nothing was started. To keep what is there, use --profile quick "
            "or --directory ELSEWHERE; to replace it, delete it first"
        )


def check_replacing(path: str, new: RunSpec) -> None:
    """Refuse to replace a larger result that arrived while the run ``new`` was trained.

    Raises:
        LossError: nothing is replaced.
    """
    if loss := describe_loss(path, new):
        raise LossError(f"{loss}; nothing is replaced. Move or delete it, and run again")


def describe_loss(path: str, new: RunSpec) -> str | None:
    """Return what would be lost if the run ``new`` replaced the result; None if nothing.

    That is a result on more epochs or images, one on images of another data set unless those were
    generated, one that cannot be read now, and whatever this version did not write.
    """
    if not Path(path).exists():
        return None
    for file in (Path(path), Path(path).with_suffix(".safetensors")):
        try:
            if file.is_file():
                file.open("rb").close()
        except OSError as error:  # such as its permissions, or a file server that does not answer
            return f"{file}: cannot be read ({error.strerror}), but would be replaced; give access"
    try:
        old = RunSpec.from_config(read_result(path).config)
    except ForeignResultError as error:
        return str(error)
    except (ResultError, ConfigError):  # nothing that this version can use
        return None
    if not (kind := old.size.find_loss(new.size)):
        return None
    sizes = describe_size(old.size), describe_size(new.size)
    return "{} ({}) would be replaced by a {kind} ({})".format(path, *sizes, kind=kind)


def describe_size(size: Size) -> str:
    """Return the size of a run in words."""
    counts = " + ".join(f"{count:,}" for count in (size.train, size.validation, size.test))
    words = f"{size.epochs} epoch{'s'[: size.epochs > 1]}, {counts} images of {size.data}"
    if size.per_epoch < size.train:
        words += f", {size.per_epoch:,} per epoch"
    if size.patience < size.epochs:
        words += f", early stopping after {size.patience}"
    return words


def refuse_no_threads(jobs: Iterable[tuple[str, int]]) -> None:
    """Refuse jobs without a thread.

    Args:
        jobs: the rule and the threads of each.

    Raises:
        UserError: with the first rule.
    """
    for rule, threads in jobs:
        if threads < 1:
            raise UserError(f"--set-threads {rule}={threads}: must be at least 1")


def refuse_no_limit(minutes: Iterable[float | None]) -> None:
    """Refuse training runs on a cluster without a limit: their jobs would get that of evaluate.

    Args:
        minutes: the limit of each.

    Raises:
        UserError: one has none.
    """
    for limit in minutes:
        if not limit or limit < 1:
            rule = "must be at least 1, the time limit of a run in minutes"
            raise UserError(f"runtime: {limit} for rule train: {rule}; see slurm/config.yaml")


def refuse_no_gpu(resources: Iterable[Mapping[str, Any]]) -> None:
    """Refuse training runs on a cluster that request no GPU, unless HW2_DEVICE names their device.

    Args:
        resources: those of each.

    Raises:
        UserError: one requests none.
    """
    for given in resources:
        asks = given.get("gres") or given.get("gpu")
        asks = asks or re.search(r"gpu|gres|-G", str(given.get("slurm_extra")))
        if not (asks or os.environ.get(DEVICE)):
            raise UserError(
                "rule train requests no GPU (--set-resources replaces all that slurm/config.yaml "
                f"sets for a rule): edit that file, or set {DEVICE} to cpu or cuda"
            )


def refuse_unknown(targets: Iterable[str], known: Iterable[str]) -> None:
    """Refuse targets that Snakemake cannot make, and suggest the most similar that it can make.

    Raises:
        UnknownName: with a line for each of ``targets``, if there are any.
    """
    names = list(known)
    lines = [f"{target}: no target of this name; {suggest(target, names)}" for target in targets]
    if lines:
        raise UnknownName("\n".join(lines))
