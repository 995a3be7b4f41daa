"""A seeded schedule of faults against the real pipeline, and a table of their effects.

Faults come in chains: several in a row, each in the state that the previous ones left, then one
plain Snakemake call that must repair everything, with the same files as an undisturbed run.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from checkout import CannotMount
from kinds import KINDS
from outcome import Impossible, Outcome
from small_study import Study, copy_study, find_unfinished, find_wrong_files

DISK = "96m"


@dataclass
class Tally:
    """How faults of one kind went; the lists hold what was wrong, one text each."""

    injected: int = 0
    wrong: list[str] = field(default_factory=list)  # lost, half-written or wrong after the fault
    differing: list[str] = field(default_factory=list)  # after the healing call
    unclear: list[str] = field(default_factory=list)  # messages
    skipped: set[str] = field(default_factory=set)


Tallies = dict[str, Tally]


def schedule(number: int, seed: int) -> list[tuple[str, int]]:
    """Return kinds and seeds of ``number`` faults: every kind as often as the others."""
    rng = random.Random(seed)
    kinds: list[str] = []
    while len(kinds) < number:
        kinds += rng.sample(sorted(KINDS), len(KINDS))
    return [(kind, rng.randrange(2**32)) for kind in kinds[:number]]


def run_campaign(
    reference: Study,
    folder: Path,
    faults: Sequence[tuple[str, int]],
    *,
    chain: int,
    report: Callable[[str], None] = print,
) -> Tallies:
    """Inject ``faults``, ``chain`` of them before each healing call, and return how it went.

    Args:
        reference: the undisturbed study.
        folder: an empty folder, for the study that is broken.
        faults: what ``schedule`` gives.
        chain: faults in a row.
        report: called with a line about each fault and each healing call.
    """
    tallies = {kind: Tally() for kind in KINDS}
    start = time.monotonic()
    with small_disk(folder):
        study = copy_study(reference, folder)
        for first in range(0, len(faults), chain):
            links = faults[first : first + chain]
            damaged: set[str] = set()
            for number, (kind, seed) in enumerate(links, first + 1):
                outcome = _inject(study, kind, seed, tallies[kind])
                damaged |= outcome.damaged
                wrong = find_wrong_files(study, reference, damaged)
                tallies[kind].wrong += wrong
                tallies[kind].unclear += outcome.unclear
                said = "; ".join(wrong + outcome.unclear) or "as it should be"
                report(f"{time.monotonic() - start:5.0f} s  {number:3}  {kind}: {said}")
            problems = _heal(study, reference)
            for kind in {kind for kind, _ in links}:
                tallies[kind].differing += problems
            report(f"{time.monotonic() - start:5.0f} s  healed: {'; '.join(problems) or 'equal'}")
            if problems:  # the next chain starts from a good state
                _empty(study.folder)
                copy_study(reference, folder)
    return tallies


def format_table(tallies: Tallies) -> str:
    """Return the table of kinds, in Markdown."""
    head = "| kind | injected | lost or wrong | differing bytes | unclear messages |"
    rows = [head, "|---|---|---|---|---|"]
    total = [0, 0, 0, 0]
    for kind, tally in tallies.items():
        numbers = [tally.injected, len(tally.wrong), len(tally.differing), len(tally.unclear)]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        note = f" (skipped: {'; '.join(sorted(tally.skipped))})" if tally.skipped else ""
        rows.append(f"| {kind}{note} | {' | '.join(map(str, numbers))} |")
    return "\n".join([*rows, f"| all | {' | '.join(map(str, total))} |"])


def _inject(study: Study, kind: str, seed: int, tally: Tally) -> Outcome:
    try:
        outcome = KINDS[kind](study, random.Random(seed))
    except (Impossible, CannotMount) as reason:
        tally.skipped.add(str(reason))
        return Outcome()
    tally.injected += 1
    if outcome.locked:
        study.call("--unlock")
    return outcome


def _heal(study: Study, reference: Study) -> list[str]:
    """Call Snakemake once, and once more to see that nothing is left; return what is not well."""
    status, output = study.call()
    if status != 0:
        return [f"the call failed: {output[-3000:]}"]
    problems = find_wrong_files(study, reference, set()) + find_unfinished(study, reference)
    status, output = study.call("-n")
    if "Nothing to be done" not in output:
        problems.append(f"not up to date: {output[-3000:]}")
    return problems


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Give ``folder`` a small disk of its own, where one may: one that can be full."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
