"""Wraps the commands that Snakemake's Slurm plugin calls for its submissions: see slurm/bin.

Each job writes its exit status to a file, so that its end is known even if Slurm has forgotten the
job, does not answer, or has no accounting database, and no call waits for a job that is gone.
"""

from __future__ import annotations

import os
import sys

OURS = {"--job-name", "--comment"}  # the plugin's calls have both
SECONDS_TO_EXPLAIN = 3  # the plugin asks sacct often why a job failed, checking no other
# The plugin asks them for the default partition and the accounts before it submits a job. If they
# fail, it would give up; without an answer it calls sbatch, which waits while Slurm is away.
ASKED_BEFORE = ("sinfo", "sacctmgr", "sshare")


def main(command: str, arguments: list[str]) -> int:
    """Handle the plugin's calls; pass all others on to Slurm's own command."""
    # Here, so that an interrupt while they are imported is one line.
    from programs import MISSING, SECONDS_TO_ANSWER, call, find
    from records import RECORDS, record_interrupt
    from states import report_states
    from submission import submit

    options = {argument.partition("=")[0] for argument in arguments}
    if command == "sbatch" and options >= OURS:
        return submit(arguments)
    explains = command == "sacct" and "-j" in arguments
    if explains or command in ASKED_BEFORE:
        most = SECONDS_TO_EXPLAIN if explains else SECONDS_TO_ANSWER
        done = call(command, *arguments, waits=lambda seconds: seconds < most)
        print("" if done.returncode else done.stdout, end="")
        return 0
    if "--name" in arguments:
        name = arguments[arguments.index("--name") + 1]
        if command in ("squeue", "sacct"):
            return report_states(name)
        if command == "scancel":  # Snakemake was interrupted: see hw2core/slurm.py
            record_interrupt(RECORDS / name)
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
    except KeyboardInterrupt:
        sys.exit(f"{sys.argv[1]}: Snakemake was interrupted")
