"""Copies the code and configuration that a Snakemake call was started with.

All jobs of the call run from the copy, so editing the checkout does not affect a study that is
being trained. Cluster jobs, each of which starts Snakemake again, parse the copy as well.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hw2core.config.reading import DEFAULT, choose_config
from hw2core.errors import UserError
from hw2core.runs.environment import read_commit
from hw2core.runs.paths import (
    CODE_COPIES,
    COPIED_COMMIT,
    COPIED_CONFIG,
    list_below,
    list_report_sources,
)

PROFILES = ("profiles", "slurm", "gpu")
PARTS = ("Snakefile", "rules", "hw2core", "workflow_scripts", *PROFILES)
# After a call is killed, its jobs may still wait in a cluster's queue for days.
DAYS_KEPT = 30
IN_USE = "in_use"  # in a copy: locked by each call that works from it


class CodeCopy:
    """The copy for one call; in a cluster job, the copy that Snakemake parses.

    Args:
        checkout: the folder of the Snakefile.
        config: the whole configuration of the call.

    Attributes:
        folder: the folder of the copy, relative to Snakemake's working directory. Calls with the
            same code and configuration share it.
    """

    def __init__(self, checkout: str, config: Mapping[str, Any]) -> None:
        self.checkout = Path(checkout)
        self._texts: dict[str, str] | None = None  # None: this is a copy already
        if (self.checkout / COPIED_CONFIG).exists():
            self.folder = Path(os.path.relpath(checkout))
            return
        asked = choose_config(default=self.checkout / DEFAULT)
        self._texts = {
            # Not sorted, because order matters: of equal runs, only the first is trained.
            COPIED_CONFIG: json.dumps(config),
            COPIED_COMMIT: read_commit(self.checkout) or "",
            DEFAULT: asked.read_text(encoding="utf-8"),
        }
        self.folder = Path(CODE_COPIES, self._hash(self.checkout))

    def write(self) -> None:
        """Write the copy unless it exists, and delete copies that no call has used for long.

        Raises:
            UserError: the copy cannot be written, or the code was edited since Snakemake read it.
        """
        try:
            if self._texts is None or self._is_whole():
                os.utime(self.folder)
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                self._copy(self.folder.with_name(f".{self.folder.name}.{os.getpid()}"))
            if self._texts is not None:
                self._check(self.checkout)  # the plan has hashes of code that it read later
            self._hold()
        except OSError as error:
            raise UserError(
                f"{self.folder}: the code cannot be copied ({error.strerror or error}); "
                "free disk space or make the folder writable, and call again"
            ) from None
        for folder in self.folder.parent.iterdir():
            with suppress(FileNotFoundError):  # another call has just renamed or removed it
                old = folder.stat().st_mtime < time.time() - DAYS_KEPT * 24 * 3600
                if old and not _is_held(folder):
                    shutil.rmtree(folder, ignore_errors=True)

    def _hold(self) -> None:
        """Keep the copy from being deleted until this process ends, if the disk has locks."""
        with suppress(OSError):
            self._held = (self.folder / IN_USE).open("a")  # closed, and unlocked, by the system
            fcntl.flock(self._held, fcntl.LOCK_SH)

    def _copy(self, unfinished: Path) -> None:
        try:
            for path in self._list_files(self.checkout):
                target = unfinished / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.checkout / path, target)
            self._check(unfinished)
            for name, text in (self._texts or {}).items():
                (unfinished / name).write_text(text, encoding="utf-8")
            try:
                unfinished.rename(self.folder)
            except OSError:
                if not self.folder.is_dir():  # no other call has written it meanwhile
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _is_whole(self) -> bool:
        """Return whether the copy is complete: cleaners of scratch disks delete single files."""
        written = all((self.folder / name).is_file() for name in self._texts or {})
        return written and self._hash(self.folder) == self.folder.name

    def _check(self, root: Path) -> None:
        if self._hash(root) != self.folder.name:
            raise UserError(f"{self.checkout}: edited while Snakemake started; call it again")

    def _hash(self, root: Path) -> str:
        digest = hashlib.sha256(json.dumps(self._texts).encode())
        for path in self._list_files(root):
            digest.update(f"{path}\n".encode())
            digest.update(hashlib.sha256((root / path).read_bytes()).digest())
        return digest.hexdigest()[:16]

    @staticmethod
    def _list_files(root: Path) -> Iterator[Path]:
        """Yield the files that jobs may read, relative to ``root``, in a fixed order."""
        found = [path for part in PARTS for path in (root / part, *list_below(root / part))]
        found += list_report_sources(root)
        for path in sorted(found):
            if path.is_file() and path.parent.name != "__pycache__":
                yield path.relative_to(root)


def _is_held(folder: Path) -> bool:
    """Return whether a call works from a copy, however long ago it began."""
    with suppress(OSError), (folder / IN_USE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
