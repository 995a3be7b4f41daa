"""Saves the state of a run, so that an interrupted run resumes after its last saved epoch.

A checkpoint is a digest followed by what ``torch.save`` wrote; reading it executes no code.
"""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter

from hw2core.engine.device import ran_out_of_memory, shorten
from hw2core.io import check_regular, remove_leftovers, replace_atomically

FORMAT = 3
LARGEST = 8 << 30  # bytes
# In a run of seconds, writing after every epoch would take longer than the epochs.
SECONDS_BETWEEN_WRITES = 10.0
CURVE = TypeAdapter(list[tuple[list[float], Annotated[float, Field(ge=0, le=100)]]])
TIMES = TypeAdapter(list[Annotated[float, Field(gt=0, allow_inf_nan=False)]])
DIGEST_SIZE = hashlib.sha256().digest_size


class Checkpoint:
    """The checkpoint of one run and seed.

    Args:
        path: the file; the previous one is kept as ``<path>.previous``, and one that cannot be
            loaded as ``<path>.damaged`` until the run is done.
        identity: spec, and hashes of code and data; a file with another identity is not used.
        seconds_between_writes: minimum time between two writes.
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
        self.damaged = path.with_name(f"{path.name}.damaged")
        self.identity = dict(identity)
        self.log = log
        self.seconds_between_writes = seconds_between_writes
        self._last_write = time.monotonic()
        self._unwritten: dict[str, Any] | None = None

    def save(self, state: dict[str, Any]) -> None:
        """Write a state; soon after the last write, only keep a copy for ``flush``.

        If the file cannot be written, this is logged and training continues.
        """
        if time.monotonic() - self._last_write < self.seconds_between_writes:
            # The next epoch changes tensors and lists in place.
            self._unwritten = copy.deepcopy(state)
        else:
            self._unwritten = state
            self.flush()

    def flush(self) -> None:
        """Write the last state passed to ``save``, unless it is written already."""
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
        # Only now: if a signal interrupts the write, the caller flushes again.
        self._unwritten = None
        self._last_write = time.monotonic()

    def load(self, setting: Mapping[str, Any], use: Callable[[dict[str, Any]], None]) -> bool:
        """Call ``use`` with the last state of this run that it accepts; return whether it did.

        The log says which file is used, or why none is. A state saved in another setting (threads,
        device, precision) is not used, because the run's numbers would match neither setting.
        """
        for path in filter(Path.exists, (self.path, self.previous)):
            try:
                state = read_state(path)
                if reason := self._find_difference(state, setting):
                    self.log.warning(f"{path}: not used: {reason}")
                    continue
                check_histories(state)
                use(state)
            except OSError as error:
                self.log.warning(f"{path}: not used: {error.strerror or error}")
            except Exception as error:  # reading and loading may raise any kind
                if ran_out_of_memory(error):
                    raise
                self.log.warning(f"{path}: set aside as {self.damaged.name}: {shorten(error)}")
                with suppress(OSError):
                    path.replace(self.damaged)
            else:
                self.log.info(f"resuming after epoch {len(state['train'])}, from {path}")
                return True
        return False

    def remove(self) -> None:
        """Delete all checkpoint files, including what a killed run left."""
        self._unwritten = None
        remove_leftovers(self.path)
        for path in (self.path, self.previous, self.damaged):
            path.unlink(missing_ok=True)

    def _find_difference(self, state: dict[str, Any], setting: Mapping[str, Any]) -> str:
        """Return why a state does not belong to this run and setting; "" if it does."""
        if state["format"] != FORMAT:
            return f"format {state['format']!r}, not {FORMAT!r}"
        changed = find_changes(state["identity"], self.identity)
        if changed:
            return f"of another run ({', '.join(changed)} changed)"
        saved = state["setting"]
        changed = find_changes(saved, setting)
        values = (f"{key} {saved.get(key)}, now {setting[key]}" for key in changed)
        return f"saved with {'; '.join(values)}" if changed else ""


def read_state(path: Path) -> dict[str, Any]:
    """Return the state in a checkpoint; one that is damaged raises any exception."""
    check_regular(path, LARGEST)
    content = path.read_bytes()
    if hashlib.sha256(content[DIGEST_SIZE:]).digest() != content[:DIGEST_SIZE]:
        raise ValueError("its content does not match its digest")
    state: dict[str, Any] = torch.load(
        io.BytesIO(content[DIGEST_SIZE:]), map_location="cpu", weights_only=True
    )
    return state


def check_histories(state: Mapping[str, Any]) -> None:
    """Check that the parts of a state are of the same number of epochs.

    Raises:
        ValueError, TypeError, KeyError: they are not.
    """
    epochs = len(state["train"])
    lengths = {key: len(state[key]) for key in ("test", "seconds", "speeds")}
    probes = {key: len(values) for key, values in state["layers"].items() if key != "names"}
    if {epochs} != set(lengths.values()) or len(set(probes.values())) > 1 or epochs == 0:
        raise ValueError(f"{epochs} epochs, but {lengths | probes}")
    if state["best_weights"] is None:
        raise ValueError("no weights of the best epoch")
    CURVE.validate_python([*state["train"], *state["test"]])
    TIMES.validate_python(state["seconds"] + state["speeds"])


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the keys of ``new`` whose values differ from those in ``old``."""
    return [key for key, value in new.items() if old.get(key) != value]
