"""A tiny study, and the calls of Snakemake that send it to a cluster."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
from checkout import TINY, copy_sources
from cluster import Cluster, wait_until
from torch import Tensor

from hw2core.runs import paths
from hw2core.runs.weights import read_weights

# The profile as it is; only that nobody here waits for a network file system.
ON_CLUSTER = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1"]
ON_CLUSTER += ["--latency-wait", "5"]
# Experiments of one training each, the same but for its name: long enough to be disturbed.
DISTURBED = ("undisturbed", "another", "damaged", "cancelled", "requeued", "limited")
DISTURBED += ("interrupted", "unwatched", "preempted", "forgotten", "stopped", "hopeless")
DISTURBED += ("edited1", "edited2", "evaluating", "deleted")
EPOCHS = 60
IMAGES = paths.manifest_path("generated_240_60")  # of TINY


def configure() -> dict:
    """Return the six runs of exp1_4, in small, and the trainings to disturb."""
    exp1_1, exp1_4 = TINY["experiments"]["exp1_1"], TINY["experiments"]["exp1_4"]
    six = [
        {"filters_per_layer": [[4]], "layers_per_block": [2, 3, 4]},
        {"filters_per_layer": [[4, 8]], "layers_per_block": [1, 2, 3]},
    ]
    one = {"filters_per_layer": [[4]], "layers_per_block": [2]}
    config = copy.deepcopy({**TINY, "experiments": {"exp1_4": {**exp1_4, "grid": six}}})
    for number, name in enumerate(DISTURBED):
        # Runs of one recipe would be trained once: a key without effect makes each its own.
        training = {"epochs": EPOCHS, "early_stopping": EPOCHS + number}
        config["experiments"][name] = {**exp1_1, "grid": one, "training": training}
    # Its epochs take longer than it takes to suspend it.
    config["experiments"]["hopeless"]["architecture"] = {"pools": 2, "hidden_dims": [4000]}
    return config


class ClusterStudy:
    """The study in a folder of its own, its images prepared, and the cluster that trains it."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.checkout = copy_sources(folder)
        self.checkout.configure(configure())
        self.checkout.snakemake(IMAGES)

    def submit(self, *arguments: str, succeeds: bool = True) -> str:
        """Run targets as jobs; return what Snakemake printed."""
        return self.checkout.snakemake(*arguments, *ON_CLUSTER, succeeds=succeeds)

    def train(self, experiment: str, *arguments: str, succeeds: bool = True) -> str:
        """Run one of the DISTURBED as a job, in one thread as the one it is compared with."""
        return self.submit(*call_for(experiment), *arguments, succeeds=succeeds)

    def start(self, *experiments: str, arguments: tuple[str, ...] = ()) -> subprocess.Popen:
        """Start ``train`` for some of the DISTURBED."""
        return self.checkout.start(*call_for(*experiments), *ON_CLUSTER, *arguments)

    @contextlib.contextmanager
    def training(
        self, experiment: str, *arguments: str, beside: tuple[str, ...] = ()
    ) -> Iterator[subprocess.Popen]:
        """Start ``train``, others ``beside`` it; the block begins when its third epoch is over."""
        process = self.start(experiment, *beside, arguments=arguments)
        line = f"epoch  3/{EPOCHS}"
        try:
            wait_until(
                lambda: line in self.read_log(experiment) or process.poll() is not None,
                f"{experiment}: {line}",
                seconds=180,
            )
            assert process.poll() is None, process.communicate()[0]
            yield process
        finally:
            process.kill()
            process.communicate()

    def read_log(self, experiment: str) -> str:
        """Return the training's own log, as far as it is."""
        path = self.checkout / paths.log_path("train", name_run(experiment), "seed0")
        return path.read_text() if path.exists() else ""

    def find_trainer(self, experiment: str) -> psutil.Process:
        """Return the process that trains a run."""
        found = []
        for process in psutil.process_iter(["cmdline", "cwd"]):
            line = process.info["cmdline"] or []
            is_script = len(line) > 1 and line[1].endswith("workflow_scripts/train.py")
            if is_script and name_run(experiment) in " ".join(line):
                assert Path(process.info["cwd"]) == self.checkout.folder
                found.append(process)
        (trainer,) = found
        return trainer

    def read_job_logs(self, experiment: str) -> str:
        """Return what Slurm kept of the jobs of a run."""
        paths = sorted((self.checkout / "logs/slurm/group_run_evaluate_train").glob("*.log"))
        texts = [path.read_text() for path in paths]
        return "".join(text for text in texts if f"run={name_run(experiment)}," in text)

    def read_outcome(self, experiment: str) -> tuple[dict, dict[str, Tensor]]:
        """Return curves and weights."""
        weights = self.checkout / paths.weights_path(name_run(experiment), 0)
        return self.read_result(experiment)["epochs"], read_weights(weights)

    def read_result(self, experiment: str) -> dict:
        """Return the result of a run."""
        path = self.checkout / paths.result_path(name_run(experiment), 0)
        return json.loads(path.read_text())


def name_run(experiment: str) -> str:
    return f"{experiment}_L2_K4"


def call_for(*experiments: str) -> list[str]:
    """Return the arguments that train some of the DISTURBED, on a cluster or not."""
    return [*(f"results/{name_run(name)}" for name in experiments), "--set-threads", "train=1"]
