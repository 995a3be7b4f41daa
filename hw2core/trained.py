"""Loads the network that a run trained, ready to classify pictures."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from hw2core.config.errors import ConfigError
from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT, load_experiments
from hw2core.data.prepared import DataError, Manifest, read_manifest
from hw2core.engine.generators import keep_generators
from hw2core.engine.run import build_trainer
from hw2core.runs import paths
from hw2core.runs.code_hash import NETWORKS, hash_modules, hash_run_code
from hw2core.runs.environment import refuse_defaults
from hw2core.runs.files import ResultError, read_result
from hw2core.runs.loaded import check_loaded
from hw2core.runs.make import wait_for_turn
from hw2core.runs.schema import Result
from hw2core.runs.weights import check_fit, check_weights, read_weights

PUBLISHED = CHECKOUT / paths.REFERENCE


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with the weights of the epoch that validation chose, and what its images are.

    Attributes:
        model: in evaluation mode, on the CPU. An ``nn.Module``, which maps normalised images
            (N, 3, 32, 32) to logits (N, classes), or an MLP of ``hw2core.layers``, which takes
            them flat.
        mean, std: of the training images by channel, in units where 255 is 1.
        classes: their names, in the order of the logits.
        in_size: (C, H, W) of an image.
        result: what training gave.
    """

    model: Any = field(repr=False)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    in_size: tuple[int, int, int]
    result: Result = field(repr=False)

    def normalise(self, picture: Path | str | Image.Image) -> Tensor:
        """Return a picture (an image or its file) of any size as input of shape (1, 3, 32, 32).

        It is turned as its EXIF orientation says.

        Raises:
            DataError: its pixels are neither 8 nor 16 bits, so their range is unknown.
        """
        opened = picture if isinstance(picture, Image.Image) else Image.open(picture)
        upright = _reduce_depth(ImageOps.exif_transpose(opened))
        scaled = upright.convert("RGB").resize(self.in_size[:0:-1], Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(scaled, dtype=np.float32) / 255)  # (H, W, C)
        normalised = (pixels - torch.tensor(self.mean)) / torch.tensor(self.std)
        return normalised.permute(2, 0, 1).unsqueeze(0)

    @torch.no_grad()
    def compute_logits(self, images: Tensor) -> Tensor:
        """Return the logits (N, classes) of normalised images (N, 3, 32, 32)."""
        takes_images = isinstance(self.model, torch.nn.Module)
        logits: Tensor = self.model(images if takes_images else images.flatten(1))
        return logits

    def classify(self, picture: Path | str | Image.Image) -> dict[str, float]:
        """Return the probability of each class, the most likely first; see ``normalise``."""
        probabilities = self.compute_logits(self.normalise(picture)).softmax(dim=1)[0].tolist()
        named = zip(self.classes, probabilities, strict=True)
        return dict(sorted(named, key=lambda pair: -pair[1]))


def _reduce_depth(picture: Image.Image) -> Image.Image:
    """Return a picture of 16 bits with 8; Pillow would cut its values off at 255."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise DataError(f"the picture has pixels of 32 bits (mode {picture.mode}); save it with 8")
    return picture


def load_network(run: str, seed: int = 0, folder: Path | str | None = None) -> TrainedNetwork:
    """Load the network that a run trained with a seed; warn if the code of the network changed.

    While another thread trains, it waits for that, as both draw random numbers.

    Args:
        run: its name, such as ``exp1_1_L2_K32``; a run that config.yaml renamed has its new name.
        seed: that of the run.
        folder: has ``results/``, and ``data/`` with the manifest of the images, or is ``results/``
            itself; by default the working folder, then the checkout, then the published results.

    Raises:
        UserError: result, weights or manifest are missing, damaged, or not of one another; or the
            code was edited after it was imported.
    """
    check_loaded()
    refuse_defaults()
    seed = int(seed)
    path = _find_result(run, seed, folder)
    if not path.exists():
        raise ResultError(f"{path}: no such result; {_list_networks(path.parents[1])}")
    result = read_result(path)
    try:
        spec = RunSpec.from_config(result.config, str(path))
    except ConfigError as error:
        raise ResultError(error.lines[0]) from None
    if seed != result.seed or (run != result.name and not _has_settings(run, spec)):
        name = f"results/{result.name}/seed{result.seed}.json"
        raise ResultError(
            f"{path}: the result of another run, and config.yaml has no {run} with its settings; "
            f"it has to be {name}"
        )
    weights_path = path.with_suffix(".safetensors")
    if not weights_path.exists() and result.same_as:  # those of the run that was trained for it
        weights_path = path.parent.parent / result.same_as / weights_path.name
    if not weights_path.exists():
        others = _list_networks(weights_path.parents[1])
        raise ResultError(f"{weights_path}: no weights; delete {path} and train the run; {others}")
    check_weights(weights_path, result)
    weights = read_weights(weights_path)
    with wait_for_turn(), keep_generators(torch.device("cpu")):  # initialising draws numbers
        check_fit(weights_path, weights, spec)
        trainer = build_trainer(spec, torch.device("cpu"), num_steps=1)
    today, network = hash_run_code(spec), {NETWORKS, *hash_modules([spec.implementation])}
    if changed := [name for name in sorted(network) if result.code.get(name) != today[name]]:
        problem = f"code of {', '.join(changed)} changed since the network was trained"
        warnings.warn(f"{path}: {problem}, which may change what it computes", stacklevel=2)
    trainer.load_weights(weights)
    trainer.set_training_mode(False)
    manifest = _find_manifest(path, spec, result)
    return TrainedNetwork(
        model=getattr(trainer, "evaluated", trainer.model),
        mean=manifest.mean,
        std=manifest.std,
        classes=manifest.classes,
        in_size=(3, 32, 32),
        result=result,
    )


def _has_settings(run: str, spec: RunSpec) -> bool:
    """Return whether config.yaml has a run with the settings of ``spec``: a renamed run."""
    specs = (each.specs.get(run) for each in load_experiments())
    return any(planned and planned.identity() == spec.identity() for planned in specs)


def _find_result(run: str, seed: int, folder: Path | str | None) -> Path:
    relative = Path(paths.result_path(run, seed))
    if folder is None:
        found = [Path(root, relative) for root in (Path(), CHECKOUT, PUBLISHED)]
    else:
        found = [Path(folder, relative), Path(folder, *relative.parts[1:])]
    return next(filter(Path.exists, found), found[0])


def _list_networks(results: Path) -> str:
    """Return which networks have weights in a folder of results and among the published ones."""
    folders = {x.resolve(): x for x in (PUBLISHED / "results", results)}
    found = {
        x: sorted({file.parent.name for file in x.glob("*/*.safetensors")})
        for x in folders.values()
    }
    listed = [f"{x} has weights of {', '.join(names)}" for x, names in found.items() if names]
    return "; ".join(listed) or f"no network in {results} has weights"


def _find_manifest(path: Path, spec: RunSpec, result: Result) -> Manifest:
    """Return the manifest of the images that the run was trained on."""
    relative = paths.manifest_path(spec.data.folder)
    study = path.absolute().parents[2]
    for root in (study, Path(), PUBLISHED):
        with suppress(DataError):
            manifest = read_manifest(root / relative)
            if manifest.sha256 == result.data_sha256:
                return manifest
    raise DataError(
        f"{study / relative}: no manifest of the images of {path}; copy it there, or prepare them"
    )
