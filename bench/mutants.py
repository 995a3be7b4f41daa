"""Check that the tests detect wrong implementations, by running them on one-line mutants.

Each mutant in mutants.yaml replaces a piece of text in a temporary copy of the package and the
tests, and runs the tests listed for its file; it is killed when they fail. The old text of a mutant
must occur exactly once, which is checked before anything runs.
Usage: python bench/mutants.py [--only TEXT] [--jobs 2]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300  # a mutant that exceeds it counts as killed

LISTED = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
TESTS: dict[str, list[str]] = {file: entry["tests"] for file, entry in LISTED.items()}
# (file, old text, new text)
MUTANTS = [(file, old, new) for file, entry in LISTED.items() for old, new in entry["mutants"]]


def check_mutants() -> None:
    """Exit with an error if a mutant changes nothing or its old text is not unique."""
    errors = [
        f"{file}: {old!r} occurs {count} times"
        for file, old, new in MUTANTS
        if (count := (ROOT / file).read_text().count(old)) != 1 or old == new
    ]
    if errors:
        sys.exit("Mutants whose old text does not occur exactly once:\n" + "\n".join(errors))


def run_tests(tests: list[str], file: str | None = None, source: str = "") -> bool:
    """Return whether ``tests`` pass on a copy of the tree in which ``file`` contains ``source``."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        without_caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "hw2core", tree / "hw2core", ignore=without_caches)
        shutil.copytree(ROOT / "tests", tree / "tests", ignore=without_caches)
        shutil.copy(ROOT / "pyproject.toml", tree)
        if file is not None:
            (tree / file).write_text(source)
        # One thread per process: the tests' tensors are small, and the jobs share the cores.
        environment = os.environ | {"PYTHONPATH": folder, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            result = subprocess.run(
                command, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            return False
    if result.returncode not in (0, 1, 2):  # 1: a test failed; 2: the mutant cannot be imported
        raise RuntimeError(f"pytest ended with {result.returncode}:\n{result.stdout.decode()}")
    return result.returncode == 0


def run_mutant(mutant: tuple[str, str, str]) -> bool:
    """Return whether the mutant survives its tests."""
    file, old, new = mutant
    return run_tests(TESTS[file], file, (ROOT / file).read_text().replace(old, new))


def show(text: str) -> str:
    """Return ``text`` as one line for a cell of a Markdown table."""
    line = " ⏎ ".join(part.strip() for part in text.splitlines() if part.strip())
    return f"`{line}`".replace("|", "\\|") if line else "(removed)"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the tests against one-line mutants.")
    parser.add_argument("--only", default="", help="run only mutants with this in file or text")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    args = parser.parse_args()

    check_mutants()
    chosen = [mutant for mutant in MUTANTS if any(args.only in part for part in mutant)]
    if not chosen:
        sys.exit(f"No mutant's file or text contains {args.only!r}.")
    for file in sorted({file for file, _, _ in chosen}):
        if not run_tests(TESTS[file]):
            sys.exit(f"The tests of {file} fail without a mutant; fix them first.")

    print("| file | old | new | result |\n|---|---|---|---|")
    survivors = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        for (file, old, new), survived in zip(chosen, pool.map(run_mutant, chosen), strict=True):
            survivors += survived
            result = "**survived**" if survived else "killed"
            print(f"| {Path(file).name} | {show(old)} | {show(new)} | {result} |", flush=True)
    killed = len(chosen) - survivors
    print(f"\n{killed} of {len(chosen)} mutants killed ({killed / len(chosen):.1%}).")


if __name__ == "__main__":
    main()
