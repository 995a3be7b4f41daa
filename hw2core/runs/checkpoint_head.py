"""Reads what a checkpoint is of, without importing torch, and compares it with a run."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from hw2core.config.spec import RunSpec
from hw2core.errors import make_line
from hw2core.io import check_regular
from hw2core.runs import paths
from hw2core.runs.staleness import Identity

LARGEST = 8 << 30  # bytes
RECORD = "archive/head.json"  # in the folder of all that torch.save writes
LARGEST_RECORD = 1 << 20


class Head(NamedTuple):
    """Spec, code and data of a checkpoint, and the setting in which it was saved."""

    identity: dict[str, str]
    setting: dict[str, Any]

    def find_difference(self, identity: Mapping[str, str], setting: Mapping[str, Any]) -> str:
        """Return why a run does not resume from the checkpoint; "" if nothing differs."""
        changed = find_changes(self.identity, identity)
        if changed:
            return f"of another run ({', '.join(changed)} changed)"
        changed = find_changes(self.setting, setting)
        values = (f"{key} {self.setting.get(key)}, now {setting[key]}" for key in changed)
        return make_line(f"saved with {'; '.join(values)}") if changed else ""

    def name_kept(self, checkpoint: Path) -> Path:
        """Return the name under which a run with another head keeps a checkpoint of this one."""
        text = json.dumps(self, sort_keys=True, default=str)
        return checkpoint.with_name(
            f"{checkpoint.name}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        )


def make_head(identity: Any, setting: Any) -> Head:
    """Return a head of plain values.

    Raises:
        ValueError: they are of other types.
    """
    head = Head(dict(identity), dict(setting))
    texts = [*head.identity, *head.identity.values(), *head.setting]
    plain = (str, int, float, type(None))
    if not all(isinstance(text, str) for text in texts) or not all(
        isinstance(value, plain) for value in head.setting.values()
    ):
        raise ValueError("identity and setting: must be plain values by name")
    return head


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the keys of ``new`` whose values differ from those in ``old``."""
    return [key for key, value in new.items() if old.get(key) != value]


def add_head(archive: BinaryIO, head: Head) -> None:
    """Add the head to what ``torch.save`` wrote, which ``torch.load`` ignores."""
    with zipfile.ZipFile(archive, "a") as records:
        records.writestr(RECORD, json.dumps(head._asdict()))


def read_head(path: Path) -> Head | None:
    """Return the head of a checkpoint; None if it has none, or cannot be read."""
    try:
        check_regular(path, LARGEST)
        with zipfile.ZipFile(path) as records:
            if records.getinfo(RECORD).file_size > LARGEST_RECORD:
                return None
            values = json.loads(records.read(RECORD))
            return make_head(values["identity"], values["setting"])
    except Exception:  # of many kinds, as damage may be anywhere; training says what it is
        return None


def explain_unused(spec: RunSpec, seed: int, **setting: Any) -> str:
    """Return why training starts from the beginning although the run has checkpoints.

    Args:
        setting: what is known of the setting in which the run will be trained.

    Returns:
        "" if a checkpoint may be used, or none can be read.
    """
    checkpoint = paths.checkpoint_path(Path(paths.result_path(spec.name, seed)))
    found = (checkpoint, *paths.list_kept(checkpoint))
    heads = [head for path in found if (head := read_head(path))]
    if not heads:
        return ""
    identity = Identity.of(spec, seed).describe()
    reasons = [head.find_difference(identity, setting) for head in heads]
    return reasons[0] if all(reasons) else ""
