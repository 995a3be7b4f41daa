"""How long does a job of rule train take before it trains?

From the start of the process (measured outside of it) to the moment when network and images are in
place, and to its first training step, before which it looks at the layers of the untrained
network; against ``python -c "import torch"``, and on a GPU against a first number on it. Each
process of the study's own script is stopped at its first step. The contestants take turns.
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
# Prints the moment that a process has come to, as the clock outside knows it.
NOTE = "import os, time; os.write(1, f'{time.time()}\\n'.encode())"
# The network's own package is imported when everything else is: there the trap is set.
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
    parser = argparse.ArgumentParser(description="Time a job's way to its first training step.")
    parser.add_argument("--run", default="exp1_1_L2_K32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="a few images, once: does it work?")
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
    """Return the study's sizes of CIFAR-10 from ``root`` or of generated images, or small ones."""
    if quick:
        sizes = {"train": 260, "validation": 100, "test": 100}
        return DataSpec(name="generated", source_train=360, source_test=100, **sizes)
    source = {"name": "generated"} if root is None else {"root": root}
    return data.model_copy(update=source)


def make_command(spec: RunSpec, manifest: Path, folder: Path) -> list[str]:
    """Return the call of the training script, as the rule makes it."""
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
    """Run Python and return the seconds from before its start to each moment that it notes."""
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
