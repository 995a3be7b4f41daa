"""Notices when code is edited that a notebook has imported: results have the hashes of files."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from hw2core.errors import UserError
from hw2core.runs.code_hash import forget_hashes
from hw2core.runs.imports import CHECKOUT, PACKAGE
from hw2core.runs.paths import list_below


def _hash_files() -> dict[Path, bytes]:
    """Return the hash of each file that a copy of the code has."""
    files = [path for path in list_below(CHECKOUT / PACKAGE) if path.parent.name != "__pycache__"]
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in files if path.is_file()}


_known = _hash_files()  # when this module is imported; later those of modules that are not yet


def check_loaded() -> None:
    """Read the code anew for hashes, and check that what this process has imported is unchanged.

    Reloading a module is not enough: others may still have its old classes.

    Raises:
        UserError: names a file that was edited or deleted after its module was imported.
    """
    forget_hashes()
    found = _hash_files()
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    data = {path for path in _known if path.suffix != ".py"}  # which a module may have read
    for path in sorted(_known.keys() & {Path(file) for file in modules if file} | data):
        if found.get(path) != _known[path]:
            shown = path.relative_to(CHECKOUT)
            raise UserError(f"{shown}: edited after it was imported; restart the notebook's kernel")
    _known.clear()
    _known.update(found)
