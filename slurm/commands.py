"""Wraps sbatch, squeue, sacct and scancel for Snakemake's Slurm plugin: see slurm/bin.

Each job writes its exit status to a file, so that its end is known even if Slurm has forgotten the
job, does not answer, or has no accounting database, and no call waits for a job that is gone.
"""

from __future__ import annotations

import os
import sys

from programs import MISSING, find
from records import INTERRUPTED, RECORDS
from states import report_states
from submission import submit

OURS = {"--job-name", "--comment"}  # the plugin's calls have both
NOT_RECORDED = {"--array", "--clusters"}  # their jobs have other ids, or are not in squeue


def main(command: str, arguments: list[str]) -> int:
    """Handle the plugin's calls; pass all others on to Slurm's own command."""
    options = {argument.partition("=")[0] for argument in arguments}
    if command == "sbatch" and options >= OURS and not options & NOT_RECORDED:
        return submit(arguments)
    if "--name" in arguments:
        name = arguments[arguments.index("--name") + 1]
        if command in ("squeue", "sacct"):
            return report_states(name)
        if command == "scancel":  # Snakemake was interrupted: see hw2core/slurm.py
            (RECORDS / name).mkdir(parents=True, exist_ok=True)
            (RECORDS / name / INTERRUPTED).touch()
    program = find(command)
    if program is not None:
        os.execv(program, [command, *arguments])
    print(f"{command}: {MISSING}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
