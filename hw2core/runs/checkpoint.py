"""Saves the state of a run, so that an interrupted run resumes after its last saved epoch.

A checkpoint is a digest followed by what ``torch.save`` wrote; reading it executes no code.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import logging
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, TypeAdapter

from hw2core.config.spec import RunSpec
from hw2core.engine.device import ran_out_of_memory, shorten
from hw2core.io import check_regular, remove_leftovers, replace_atomically
from hw2core.runs import paths
from hw2core.runs.checkpoint_head import LARGEST, Head, add_head, make_head

FORMAT = 3
# In a run of seconds, writing after every epoch would take longer than the epochs.
SECONDS_BETWEEN_WRITES = 10.0
CURVE = TypeAdapter(list[tuple[list[float], Annotated[float, Field(ge=0, le=100)]]])
TIMES = TypeAdapter(list[Annotated[float, Field(gt=0, allow_inf_nan=False)]])
DIGEST_SIZE = hashlib.sha256().digest_size


class Checkpoint:
    """The checkpoint of one run and seed.

    Args:
        path: the file; the previous one is kept as ``<path>.previous``, one that cannot be loaded
            as ``<path>.damaged``, and one of another identity or setting under a name of its own,
            until the run is done.
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
        state = {**state, "setting": complete_setting(state["setting"])}
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
        add_head(content, Head(self.identity, self._unwritten["setting"]))
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
        device, precision) is not used, because the run's numbers would match neither setting. It is
        set aside, so that this run does not overwrite it, and found again in its own setting.
        """
        setting = complete_setting(setting)
        kept = Head(self.identity, setting).name_kept(self.path)
        for path in filter(Path.exists, (self.path, self.previous, kept)):
            try:
                state = read_state(path)
                if reason := self._find_difference(state, setting):
                    place = self._keep(path, state)
                    self.log.warning(f"{path}: not used: {reason}; kept as {place.name}")
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
                if path == kept:
                    with suppress(OSError):
                        path.replace(self.path)
                return True
        return False

    def remove(self) -> None:
        """Delete all checkpoint files when the run is done, including what a killed run left.

        Those of larger runs are kept.
        """
        self._unwritten = None
        remove_leftovers(self.path)
        kept = (path for path in paths.list_kept(self.path) if not self._is_larger(path))
        for path in (self.path, self.previous, self.damaged, *kept):
            path.unlink(missing_ok=True)

    def _keep(self, path: Path, state: dict[str, Any]) -> Path:
        """Set a checkpoint aside, unless one of the same run with as many epochs is there."""
        kept = Head(state["identity"], state["setting"]).name_kept(self.path)
        if kept.exists():
            with suppress(Exception):  # damaged
                if len(read_state(kept)["train"]) >= len(state["train"]):
                    path.unlink()
                    return kept
        path.replace(kept)
        return kept

    def _is_larger(self, path: Path) -> bool:
        """Return whether a checkpoint is of a larger run than this one; see ``Size.find_loss``."""
        try:
            sizes = [
                RunSpec.from_config(json.loads(identity["config"])).size
                for identity in (read_state(path)["identity"], self.identity)
            ]
        except Exception:  # reading may raise any kind
            return False
        return bool(sizes[0].find_loss(sizes[1]))

    def _find_difference(self, state: dict[str, Any], setting: Mapping[str, Any]) -> str:
        """Return why a state does not belong to this run and setting; "" if it does."""
        if state["format"] != FORMAT:
            return f"format {state['format']!r}, not {FORMAT!r}"
        head = make_head(state["identity"], state["setting"])
        return head.find_difference(self.identity, setting)


def complete_setting(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return a setting that also tells apart machines which do not repeat each other's numbers.

    Those are CPUs that multiply bfloat16 with AMX and without, and, in deterministic mode, models
    of GPUs.
    """
    if setting.get("device") == "cuda" and torch.are_deterministic_algorithms_enabled():
        return {**setting, "instructions": torch.cuda.get_device_name()}
    amx = torch.cpu.get_capabilities().get("amx_bf16")
    if amx or (setting.get("device"), setting.get("precision")) != ("cpu", "bf16"):
        return dict(setting)
    return {**setting, "precision": "bf16 without AMX"}  # "instructions" are AVX512 for both


def read_state(path: Path) -> dict[str, Any]:
    """Return the state in a checkpoint; one that is damaged raises any exception."""
    check_regular(path, LARGEST)
    content = path.read_bytes()
    if hashlib.sha256(content[DIGEST_SIZE:]).digest() != content[:DIGEST_SIZE]:
        raise ValueError("its content does not match its digest")
    archive = io.BytesIO(content[DIGEST_SIZE:])
    with zipfile.ZipFile(archive) as records:  # uncompressed
        if sum(record.file_size for record in records.infolist()) > len(content):
            raise ValueError("its records are larger than the file")
    archive.seek(0)
    state: dict[str, Any] = torch.load(archive, map_location="cpu", weights_only=True)
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
