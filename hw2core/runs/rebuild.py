"""Checks that today's code makes the network and the images of a result.

Tiny runs do not show it: their network may have other arguments, and the images of both versions
are made by today's code.
"""

from __future__ import annotations

from pathlib import Path

from hw2core.config.architectures import IN_SIZE
from hw2core.config.images import DataSpec
from hw2core.data.datasets import prepare
from hw2core.data.prepared import read_manifest
from hw2core.errors import UserError
from hw2core.runs import paths
from hw2core.runs.code_hash import RUN, check_reader, hash_modules
from hw2core.runs.schema import Result
from hw2core.runs.staleness import Identity
from hw2core.runs.weights import check_fit, read_weights


class ImageChecker:
    """Checks images; generates those of each data set once, in ``folder``, which is empty."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sha256: dict[str, str] = {}

    def check(self, result: Result, identity: Identity) -> None:
        """Check that a changed reader, if it is part of the code of a run, gives the same images.

        Generated images are made again and compared. For others the original files would be
        necessary: a module that only their reader has must not change.

        Raises:
            UserError: the images are others, or may be.
        """
        spec = identity.spec.data
        readers = hash_modules([check_reader(spec.name)])
        changed = {x for x in readers if result.code.get(x) != identity.code.get(x)}
        generated = spec.entry.sizes is None
        if not generated:
            changed -= hash_modules([RUN]).keys()  # tiny runs have them
        if not changed or (generated and self._hash_images(spec) == result.data_sha256):
            return
        problem = (
            "the generated images are others" if generated else "reads the images, and changed"
        )
        raise UserError(f"{', '.join(sorted(changed))}: {problem}; train again")

    def _hash_images(self, spec: DataSpec) -> str:
        if spec.folder not in self._sha256:
            manifest = prepare(spec, self._folder / spec.folder)
            self._sha256[spec.folder] = read_manifest(manifest).sha256
        return self._sha256[spec.folder]


def check_network(result: Result, identity: Identity) -> None:
    """Check that today's code builds the network that gave a result.

    Raises:
        UserError: parameters or FLOPs are not those in the result, or a weight does not fit.
    """
    import torch

    from hw2core.engine.run import build_trainer

    spec, seed = identity.spec, identity.seed
    found = build_trainer(spec, torch.device("cpu"), num_steps=1).count_costs(IN_SIZE)
    recorded = (result.parameters, result.flops_per_image)
    if found != recorded:
        pairs = zip(("parameters", "FLOPs"), recorded, found, strict=True)
        differences = [f"{key}: was {was}, is {now}" for key, was, now in pairs if was != now]
        raise UserError(f"the network has other {'; '.join(differences)}; train again")
    weights = paths.weights_path(spec.name, seed)
    if Path(weights).exists():
        check_fit(weights, read_weights(weights), spec)
