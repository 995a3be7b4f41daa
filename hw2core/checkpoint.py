"""A training's state on disk, so that one that was cut short goes on where it was.

A checkpoint is one safetensors file: tensors, and a header of plain text. Reading it executes no
code, whatever it holds. It says what it is a checkpoint of (spec, code, data) and carries a digest
of its own content; the one before it is kept beside it.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hw2core.atomic import remove_leftovers, replace_atomically
from hw2core.study_training import Snapshot

FORMAT = "1"
# Writing after every epoch of a training of seconds would cost more than the epochs.
SECONDS_BETWEEN_WRITES = 10.0


class Checkpoint:
    """The checkpoint of one training.

    Args:
        path: the file; the one before it is kept as ``<path>.previous``.
        identity: what the training is of, such as its spec, code and data hashes. A file of
            another identity is not used.
        log: where it says what it does.
        seconds_between_writes: least time between two writes.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, str],
        log: logging.Logger,
        *,
        seconds_between_writes: float = SECONDS_BETWEEN_WRITES,
    ) -> None:
        self.path = path
        self.previous = path.with_name(f"{path.name}.previous")
        self.identity = dict(identity)
        self.log = log
        self.seconds_between_writes = seconds_between_writes
        self._last_write = time.monotonic()
        self._unwritten: Snapshot | None = None

    def save(self, snapshot: Snapshot) -> None:
        """Write a state, unless the last one was written a moment ago: then keep it for ``flush``.

        When the disk is full or the folder cannot be written, training goes on: the last file is
        kept, and the log says so.
        """
        self._unwritten = snapshot
        if time.monotonic() - self._last_write < self.seconds_between_writes:
            # A copy: the next epoch changes tensors and lists in place.
            tensors = {name: t.detach().clone() for name, t in snapshot.tensors.items()}
            self._unwritten = Snapshot(tensors, copy.deepcopy(snapshot.values))
        else:
            self.flush()

    def flush(self) -> None:
        """Write the last state given to ``save`` where it is not written yet."""
        if self._unwritten is None:
            return
        self._write(self._unwritten)
        self._unwritten = None

    def _write(self, snapshot: Snapshot) -> None:
        tensors = {name: t.detach().cpu().contiguous() for name, t in snapshot.tensors.items()}
        values = json.dumps(snapshot.values)
        header = {
            "format": FORMAT,
            "identity": json.dumps(self.identity, sort_keys=True),
            "values": values,
            "digest": _digest(tensors, values),
        }
        try:
            with replace_atomically(self.path) as temporary:
                # Not save_file: its own temporary file, of a random name, would outlive a kill.
                temporary.write_bytes(save(tensors, metadata=header))
                if self.path.exists():
                    self.path.replace(self.previous)
        except OSError as error:
            self.log.warning(f"{self.path}: no checkpoint written: {error}")
        self._last_write = time.monotonic()

    def load(self) -> Snapshot | None:
        """Return the last state that can be used, or None; says which file it is, or why not."""
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                snapshot = self._read(path)
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                self.log.warning(f"{path}: not used: {error}")
                continue
            self.log.info(f"going on after epoch {len(snapshot.values['train'])}, from {path}")
            return snapshot
        return None

    def remove(self) -> None:
        """Delete both files, and what a killed training left: this one is done."""
        self._unwritten = None
        remove_leftovers(self.path)
        self.path.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)

    def _read(self, path: Path) -> Snapshot:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        if header.get("format") != FORMAT:
            raise ValueError(f"format {header.get('format')!r}, not {FORMAT!r}")
        identity: dict[str, Any] = json.loads(header["identity"])
        changed = [key for key, value in self.identity.items() if identity.get(key) != value]
        if changed:
            raise ValueError(f"of another training ({', '.join(changed)} changed)")
        if _digest(tensors, header["values"]) != header["digest"]:
            raise ValueError("damaged: its content does not match its digest")
        return Snapshot(tensors, json.loads(header["values"]))


def _digest(tensors: Mapping[str, Tensor], values: str) -> str:
    digest = hashlib.sha256(values.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
