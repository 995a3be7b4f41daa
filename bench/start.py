"""Measure how long a job of rule train takes before it trains.

Measures the time from the start of the process until the network and the images are loaded, and
until the first training step, before which the layers of the untrained network are probed. It is
compared with ``python -c "import torch"`` and, on a GPU, with creating a first tensor on it. The
study's own script is run and stopped at its first step. Contestants take turns.
Usage: python bench/start.py [--run exp1_1_L2_K32] [--rounds 15] [--quick]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import ROOT, add_data_option, describe_machine, print_table, summarize

from hw2core.config.images import DataSpec
from hw2core.config.reading import read_config
from hw2core.config.spec import RunSpec
from hw2core.config.study import STUDY_FILE, load_study
from hw2core.data.datasets import prepare
from hw2core.engine.device import pick_device
from hw2core.runs.environment import count_allotted_threads

IMPORT, FIRST_NUMBER = "import torch", "import torch, a number on the GPU"
READY, FIRST_STEP = "train.py, all in place", "train.py, first step"
# Prints the current time, to be compared with the clock of the parent process.
NOTE = "import os, time; os.write(1, f'{time.time()}\\n'.encode())"
# The network's package is the last to be imported: its import installs the hooks.
TRAPPED = f"""
import os, runpy, sys, time

def note(*arguments, **options):
    {NOTE}

class Trap:
    def find_spec(self, name, path=None, target=None):
        if name == "hw2core.cnn":
            sys.meta_path.remove(self)
            from hw2core.engine import recorder, trainer
            trainer.RunTrainer.train_epoch = lambda *a, **k: (note(), os._exit(0))
            start = recorder.Recorder.start
            recorder.Recorder.start = lambda *a, **k: (note(), start(*a, **k))[1]

sys.meta_path.insert(0, Trap())
sys.argv = sys.argv[1:]
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "workflow_scripts")!r}]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time a job until its first training step.")
    parser.add_argument("--run", default="exp1_1_L2_K32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="smoke test: few images, one round")
    add_data_option(parser)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.data = 1, None
    spec = load_study(read_config(STUDY_FILE)).runs[args.run]
    device = pick_device()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        spec = spec.model_copy(update={"data": choose_data(spec.data, args.data, args.quick)})
        manifest = prepare(spec.data, folder / "data")
        commands = {IMPORT: ["-c", f"import torch; {NOTE}"]}
        if device.type == "cuda":
            first = f"import torch; torch.ones(1, device='cuda').item(); {NOTE}"
            commands[FIRST_NUMBER] = ["-c", first]
        commands[FIRST_STEP] = ["-c", TRAPPED, *make_command(spec, manifest, folder)]
        times: dict[str, list[float]] = {name: [] for name in (*commands, READY)}
        for i in range(-1, args.rounds):  # the first round warms up and is not kept
            for name, command in commands.items():
                moments = run_until_noted(command)
                if i >= 0:
                    times[name].append(moments[-1])
                    if name == FIRST_STEP:
                        times[READY].append(moments[0])

    base = summarize(times[IMPORT]).median
    rows = [[name, summarize(v), summarize(v).median / base] for name, v in times.items()]
    print(
        f"{args.run} on {spec.data.train} of {spec.data.folder}, {args.rounds} interleaved "
        f"rounds.\n{describe_machine(device)}\n"
    )
    print_table(["from the start of a process to", "s (quartiles)", "/ import torch"], rows)


def choose_data(data: DataSpec, root: Path | None, quick: bool) -> DataSpec:
    """Return CIFAR-10 from ``root`` or generated images, at the study's size or smaller."""
    if quick:
        sizes = {"source_train": 360, "source_test": 100}
        sizes |= {"train": 260, "validation": 100, "test": 100}
        return DataSpec.model_validate({"name": "generated", **sizes})
    source = {"name": "generated"} if root is None else {"root": root}
    return data.model_copy(update=source)


def make_command(spec: RunSpec, manifest: Path, folder: Path) -> list[str]:
    """Return the command line of the training script, as in the rule."""
    options = {
        "--spec": spec.to_json(),
        "--seed": "0",
        "--data": str(manifest),
        "--result": str(folder / "seed0.json"),
        "--weights": str(folder / "seed0.safetensors"),
        "--threads": str(min(2, count_allotted_threads())),
        "--log": str(folder / "log"),
    }
    script = str(ROOT / "workflow_scripts" / "train.py")
    return [script, *(word for option in options.items() for word in option)]


def run_until_noted(arguments: list[str]) -> list[float]:
    """Run Python and return the seconds from its start to each time that it prints."""
    start = time.time()
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=dict(os.environ)
    )
    moments = [float(line) - start for line in done.stdout.split()]
    if not moments:
        sys.exit(done.stderr)
    return moments


if __name__ == "__main__":
    main()
