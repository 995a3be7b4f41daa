from __future__ import annotations

import logging
from pathlib import Path

from hw2core.config.spec import Experiment
from hw2core.config.study import Study
from hw2core.runs import paths
from hw2core.runs.checkpoint import Checkpoint
from hw2core.runs.checkpoint_head import explain_unused
from hw2core.runs.staleness import Identity
from hw2core.runs.unfinished import find_unfinished

LOG = logging.getLogger("test")


def save_checkpoint(spec, seed, **other) -> Path:
    path = paths.checkpoint_path(Path(paths.result_path(spec.name, seed)))
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = Identity.of(spec, seed).describe() | other
    epochs = [([1.5], 40.0), ([1.25], 50.0)]
    layers = {"names": ["conv1"], "epochs": [0], "gradient_norm": [[0.5]]}
    layers |= {"activation_std": [[0.25]], "dead_fraction": [[None]]}
    state = {"train": epochs, "test": epochs[::-1], "layers": layers, "setting": {}}
    Checkpoint(path, identity, LOG, seconds_between_writes=0).save(state)
    return path


def test_unfinished_runs_are_read_from_checkpoints(tiny_spec, write_run, caplog):
    experiment = Experiment("tiny", "?", "x", "y", (tiny_spec.name,), (0, 1, 2, 3), sizes={})
    planned = Study(tiny_spec.data, {"tiny": experiment}, {tiny_spec.name: tiny_spec})
    write_run(seed=0)
    for seed in (0, 1):
        save_checkpoint(tiny_spec, seed)
    save_checkpoint(tiny_spec, 2, code_hash="another")
    save_checkpoint(tiny_spec, 3).write_bytes(b"damaged")
    (found,) = find_unfinished(planned, LOG)
    assert (found.spec, found.seed) == (tiny_spec, 1)
    assert found.epochs.train_loss == [1.5, 1.25]
    assert found.epochs.validation_accuracy == [50.0, 40.0]
    assert found.layers.gradient_norm == [[0.5]]
    start = "results/tiny_L2_K8/seed{}.checkpoint: left out: {}".format
    another, damaged = caplog.messages
    assert another == start(2, "of another run (code_hash changed)")
    assert damaged.startswith(start(3, "its content"))


def test_a_checkpoint_that_will_not_be_used_is_explained(tiny_spec, in_folder):
    assert explain_unused(tiny_spec, 0) == ""
    path = save_checkpoint(tiny_spec, 0)
    assert explain_unused(tiny_spec, 0) == ""
    assert explain_unused(tiny_spec, 0, threads=1) == "saved with threads None, now 1"
    path.rename(f"{path}.0123abcd")  # set aside by a run of another setting
    save_checkpoint(tiny_spec, 0, code_hash="another")
    assert explain_unused(tiny_spec, 0) == ""
    save_checkpoint(tiny_spec, 1, code_hash="another")
    assert explain_unused(tiny_spec, 1) == "of another run (code_hash changed)"
    save_checkpoint(tiny_spec, 1).write_bytes(b"damaged")
    assert explain_unused(tiny_spec, 1) == ""
