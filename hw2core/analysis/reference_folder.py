"""The folder report/reference/: replaced as a whole, without losing what only it has."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hw2core.config.spec import RunSpec
from hw2core.data.prepared import read_manifest
from hw2core.errors import UserError
from hw2core.io import hash_file
from hw2core.runs import paths
from hw2core.runs.schema import Result

OWN = (paths.REFERENCE_FIGURES, "results", "data")  # folders of files that publishing makes


class PublishError(UserError):
    """The results cannot be published; the message gives the reason."""


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that replaces ``folder`` if the block raises no error.

    Raises:
        PublishError: a call that was killed has moved aside a folder that may have other files.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*/old"):
        if folder.exists():
            raise PublishError(f"{left}: of a call that was killed; move or delete it")
        left.rename(folder)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        new.mkdir()
        yield new.resolve()
        try:
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise


def keep_networks(old: Path, new: Path, results: Iterable[Result]) -> None:
    """Publish again the networks whose weights ``old`` has, each with its result and manifest.

    Weights and manifest are those of the working folder, or else those in ``old``.

    Raises:
        PublishError: neither folder has those of the published result.
    """
    by_weights = {paths.weights_path(result.name, result.seed): result for result in results}
    for weights in sorted(old.glob("results/*/*.safetensors")):
        name = weights.relative_to(old).as_posix()
        if name not in by_weights:
            raise PublishError(f"{weights}: of no result; delete its folder to publish without it")
        result = by_weights[name]
        manifest = Path(paths.manifest_path(RunSpec.from_config(result.config).data.folder))
        ours = [x for x in (Path(name), weights) if _has(x, result.weights_sha256, hash_file)]
        images = [
            x
            for x in (manifest, old / manifest)
            if _has(x, result.data_sha256, lambda path: read_manifest(path).sha256)
        ]
        if not ours or not images:
            file = manifest if ours else name
            raise PublishError(f"{file}: not that of {result.name}; train it again and publish")
        copied: dict[str | Path, str | Path] = {name: ours[0], manifest: images[0]}
        copied |= {file: file for file in list_files([result])}
        copied |= {x.relative_to(old): x for x in (old / manifest).parent.glob("*.png")}
        for target, source in copied.items():
            Path(new, target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, new / target)


def keep_others(old: Path, new: Path) -> None:
    """Copy the files of ``old`` that publishing never makes, but no hidden ones.

    Raises:
        PublishError: files are in a folder of what is published, but are not published again.
    """
    others = [
        path
        for path in sorted(old.rglob("*"))
        if path.is_file() and not (new / path.relative_to(old)).exists()
    ]
    lost = []
    for path in others:
        name = path.relative_to(old)
        if name.name.startswith(".") or str(name) == paths.REFERENCE_PICTURE:
            continue
        if name.parts[0] in OWN:
            lost.append(str(path))
            continue
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, new / name)
    if lost:
        raise PublishError(f"{', '.join(lost)}: not published again; move or delete")


def _has(path: Path, expected: str | None, read: Callable[[Path], str]) -> bool:
    return path.exists() and read(path) == expected


def list_files(results: Iterable[Result]) -> list[str]:
    """Return the files of results; results of format 2 include their evaluation."""
    kinds = (paths.result_path, paths.evaluation_path)
    names = sorted(kind(result.name, result.seed) for result in results for kind in kinds)
    return [name for name in names if Path(name).exists()]


def write_archive(path: Path, results: Iterable[Result]) -> None:
    """Pack the files of results and evaluations; the same files give the same bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in list_files(results):
            content = Path(name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def sum_files(folder: Path) -> str:
    """Return the sha256 of every file in ``folder``, except the list itself, as sha256sum does."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    files.pop(paths.REFERENCE_SUMS, None)
    return "".join(f"{hash_file(x)}  {name}\n" for name, x in files.items() if x.is_file())
