"""Saves the state of a run, so that an interrupted run resumes after its last saved epoch.

A checkpoint is a digest followed by what ``torch.save`` wrote; reading it executes no code.
"""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hw2core.io import remove_leftovers, replace_atomically

FORMAT = 2
# Writing after every epoch of a run of seconds would cost more than the epochs.
SECONDS_BETWEEN_WRITES = 10.0
DIGEST_SIZE = hashlib.sha256().digest_size


class Checkpoint:
    """The checkpoint of one run and seed.

    Args:
        path: the file; the one before it is kept as ``<path>.previous``.
        identity: hashes of spec, code and data; a file of another identity is not used.
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
        self._unwritten: dict[str, Any] | None = None

    def save(self, state: dict[str, Any]) -> None:
        """Write a state, unless the last write was a moment ago: then keep a copy for ``flush``.

        A file that cannot be written is logged, and training continues.
        """
        if time.monotonic() - self._last_write < self.seconds_between_writes:
            # The next epoch changes tensors and lists in place.
            self._unwritten = copy.deepcopy(state)
        else:
            self._unwritten = state
            self.flush()

    def flush(self) -> None:
        """Write the last state given to ``save`` unless it is written already."""
        if self._unwritten is None:
            return
        content = io.BytesIO()
        torch.save({"format": FORMAT, "identity": self.identity, **self._unwritten}, content)
        try:
            with replace_atomically(self.path) as temporary:
                digest = hashlib.sha256(content.getbuffer()).digest()
                temporary.write_bytes(digest + content.getbuffer())
                if self.path.exists():
                    self.path.replace(self.previous)
        except OSError as error:
            self.log.warning(f"no checkpoint written, training continues: {error}")
        # Not before: a signal in the middle of the write makes the caller write again.
        self._unwritten = None
        self._last_write = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the last state that can be used, or None; log which file it is, or why not."""
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                state = self._read(path)
            except (OSError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
                self.log.warning(f"{path}: not used: {error}")
                continue
            self.log.info(f"resuming after epoch {len(state['train'])}, from {path}")
            return state
        return None

    def remove(self) -> None:
        """Delete both files, and what a killed run left."""
        self._unwritten = None
        remove_leftovers(self.path)
        self.path.unlink(missing_ok=True)
        self.previous.unlink(missing_ok=True)

    def _read(self, path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        if hashlib.sha256(content[DIGEST_SIZE:]).digest() != content[:DIGEST_SIZE]:
            raise ValueError("damaged: its content does not match its digest")
        state: dict[str, Any] = torch.load(
            io.BytesIO(content[DIGEST_SIZE:]), map_location="cpu", weights_only=True
        )
        if state.get("format") != FORMAT:
            raise ValueError(f"format {state.get('format')!r}, not {FORMAT!r}")
        saved = state["identity"]
        changed = [key for key, value in self.identity.items() if saved.get(key) != value]
        if changed:
            raise ValueError(f"of another run ({', '.join(changed)} changed)")
        return state
