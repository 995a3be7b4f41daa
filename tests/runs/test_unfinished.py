from __future__ import annotations

import logging
from pathlib import Path

from hw2core.config.spec import Experiment
from hw2core.config.study import Study
from hw2core.runs import paths
from hw2core.runs.checkpoint import Checkpoint
from hw2core.runs.unfinished import find_unfinished

LOG = logging.getLogger("test")


def save_checkpoint(spec, seed, spec_hash=None) -> Path:
    path = paths.checkpoint_path(Path(paths.result_path(spec.name, seed)))
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = {"spec_hash": spec_hash or spec.hash_identity(seed)}
    epochs = [([1.5], 40.0), ([1.25], 50.0)]
    layers = {"names": ["conv1"], "epochs": [0], "gradient_norm": [[0.5]]}
    layers |= {"activation_std": [[0.25]], "dead_fraction": [[None]]}
    state = {"train": epochs, "test": epochs[::-1], "layers": layers}
    Checkpoint(path, identity, LOG, seconds_between_writes=0).save(state)
    return path


def test_unfinished_runs_are_read_from_checkpoints(tiny_spec, write_run, caplog):
    experiment = Experiment("tiny", "?", "x", "y", (tiny_spec.name,), (0, 1, 2, 3), sizes={})
    planned = Study(tiny_spec.data, {"tiny": experiment}, {tiny_spec.name: tiny_spec})
    write_run(seed=0)
    for seed in (0, 1):
        save_checkpoint(tiny_spec, seed)
    save_checkpoint(tiny_spec, 2, spec_hash="another")
    save_checkpoint(tiny_spec, 3).write_bytes(b"damaged")
    (found,) = find_unfinished(planned, LOG)
    assert (found.spec, found.seed) == (tiny_spec, 1)
    assert found.epochs.train_loss == [1.5, 1.25]
    assert found.epochs.validation_accuracy == [50.0, 40.0]
    assert found.layers.gradient_norm == [[0.5]]
    (line,) = caplog.messages
    assert line.startswith("results/tiny_L2_K8/seed3.checkpoint: left out: its content")
