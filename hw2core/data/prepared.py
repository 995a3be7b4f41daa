"""Write and read prepared data: four ``.npy`` arrays and a manifest with their hashes."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw2core.data.arrays import Arrays, Bytes, check_arrays, measure_channels
from hw2core.errors import UserError, make_line
from hw2core.io import check_regular, hash_file, replace_atomically, write_text_atomically

FORMAT = 1
MANIFEST_FILE = "manifest.json"
LARGEST_MANIFEST = 1 << 20  # bytes
LARGEST_ARRAY = 1 << 40
PREPARED_FILES = ("train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy")


class DataError(UserError):
    """Data is missing or damaged: one line with the file, what is wrong, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of a manifest."""

    name: str
    # Hash of everything that training sees (the arrays' hashes, mean, std and classes), so that the
    # same images from another source count as the same data.
    sha256: str
    mean: tuple[float, float, float]  # of train_images scaled to [0, 1], per channel
    std: tuple[float, float, float]
    classes: tuple[str, ...]
    source: dict[str, str]
    arrays: dict[str, dict[str, Any]]  # file -> shape, dtype and sha256


@dataclass(frozen=True)
class PreparedData(Manifest):
    """The arrays, memory-mapped and read-only, with the contents of their manifest."""

    train_images: Bytes  # (S, 32, 32, 3), from which train and validation are drawn
    train_labels: Bytes  # (S,)
    test_images: Bytes  # (T, 32, 32, 3)
    test_labels: Bytes  # (T,)


def write_prepared(
    arrays: Arrays, directory: Path | str, *, name: str, source: dict[str, str]
) -> Path:
    """Write the arrays, then the manifest, and return the manifest's path.

    The bytes depend on the arguments only (no time, host or path). An older manifest is removed
    first and the new one is written last, so that a manifest always matches the arrays next to it.

    Raises:
        ValueError: an array has the wrong shape, type or labels.
    """
    check_arrays(arrays)
    directory = Path(directory)
    (directory / MANIFEST_FILE).unlink(missing_ok=True)
    records: dict[str, dict[str, Any]] = {}
    for file, array in zip(PREPARED_FILES, arrays[:4], strict=True):
        # Not directly to the file: numpy does not notice a disk that is full at the last bytes.
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
        with replace_atomically(directory / file) as temporary:
            temporary.write_bytes(stream.getbuffer())
        digest = hashlib.sha256(stream.getbuffer()).hexdigest()
        records[file] = {"shape": list(array.shape), "dtype": "uint8", "sha256": digest}
    mean, std = measure_channels(arrays.train_images)
    content = {"arrays": records, "mean": mean, "std": std, "classes": arrays.classes}
    sha256 = _hash_content(content)
    manifest = {"format": FORMAT, "name": name, "source": source, "sha256": sha256, **content}
    text = json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n"
    write_text_atomically(directory / MANIFEST_FILE, text)
    return directory / MANIFEST_FILE


def read_manifest(manifest_path: Path | str) -> Manifest:
    """Read the manifest without opening the arrays.

    Raises:
        DataError: the manifest is missing, damaged, or of another format.
    """
    path = Path(manifest_path)
    try:
        check_regular(path, LARGEST_MANIFEST)
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _data_error(path, "it is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _data_error(path, f"it cannot be read ({error})") from error
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found != FORMAT:  # True == 1
        raise _data_error(path, f"its format is {found!r}, this version reads {FORMAT}")
    try:
        if content["sha256"] != _hash_content(content):
            raise _data_error(path, "its contents do not match its sha256")
        mean, std = ([float(value) for value in content[key]] for key in ("mean", "std"))
        (red, green, blue), (red_std, green_std, blue_std) = mean, std
        if not all(0 <= value <= 1 for value in [*mean, *std]) or min(std) == 0:
            raise ValueError(f"mean {mean}, std {std}")
        records = {file: content["arrays"][file] for file in PREPARED_FILES}
        return Manifest(
            name=str(content["name"]),
            sha256=content["sha256"],
            mean=(red, green, blue),
            std=(red_std, green_std, blue_std),
            classes=tuple(make_line(str(name)) for name in content["classes"]),
            source=dict(content["source"]),
            arrays={
                file: {key: record[key] for key in ("shape", "dtype", "sha256")}
                for file, record in records.items()
            },
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _data_error(path, f"an entry is missing or malformed ({error!r})") from error


def load_prepared(manifest_path: Path | str, *, verify: bool = True) -> PreparedData:
    """Memory-map the arrays next to the manifest, after checking them against it.

    Size, shape and dtype are always checked, the bytes (sha256, about 0.1 s for 184 MB) unless
    ``verify`` is false.

    Raises:
        DataError: a file is missing, cut short, changed, or of another format.
    """
    path = Path(manifest_path)
    manifest = read_manifest(path)
    arrays = []
    for file, record in manifest.arrays.items():
        arrays.append(_map_array(path.parent / file, record))
        if verify and hash_file(path.parent / file) != record["sha256"]:
            raise _data_error(path.parent / file, "its bytes do not match their sha256")
    try:
        check_arrays(Arrays._make([*arrays, manifest.classes]))
    except ValueError as error:
        raise _data_error(path, str(error)) from None
    return PreparedData(*arrays, **vars(manifest))


def _map_array(path: Path, record: dict[str, Any]) -> Bytes:
    """Memory-map one array and check its size, shape and dtype."""
    try:
        check_regular(path, LARGEST_ARRAY)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        size = path.stat().st_size
    except FileNotFoundError:
        raise _data_error(path, "it is missing") from None
    except Exception as error:  # numpy raises many kinds for a damaged head
        raise _data_error(path, f"it is damaged or cut short ({error})") from error
    if not isinstance(array, np.memmap):
        raise _data_error(path, "it is not one array")
    if str(array.dtype) != record["dtype"] or list(array.shape) != record["shape"]:
        found = f"{array.dtype} {list(array.shape)}"
        raise _data_error(path, f"it holds {found}, not {record['dtype']} {record['shape']}")
    if array.offset + array.nbytes != size:
        raise _data_error(path, f"it has {size} bytes, not {array.offset + array.nbytes}")
    return array


def _hash_content(content: dict[str, Any]) -> str:
    """Return the sha256 of the entries of a manifest that training sees, see ``Manifest``."""
    parts = [content[key] for key in ("arrays", "mean", "std", "classes")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _data_error(path: Path, problem: str) -> DataError:
    problem = make_line(problem)
    return DataError(f"{path}: {problem}; delete the folder {path.parent} and run again")
