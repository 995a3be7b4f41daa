"""Revalidation of a study, with a commit of its code."""

from __future__ import annotations

import subprocess
import sys

import pytest
from checkout import Checkout

from hw2core.runs import paths
from hw2core.runs.files import read_result

pytestmark = pytest.mark.workflow

RUN, OTHER = "exp1_4_L4_K4", "exp2_L4_K4"


def call(study: Checkout, script: str, *arguments: str) -> tuple[int, str]:
    """Run a script of a copy; return its status and what it printed."""
    command = [sys.executable, f"workflow_scripts/{script}", *arguments]
    done = subprocess.run(command, cwd=study.folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_rename_is_accepted_and_a_changed_constant_refused_with_the_first_difference(study):
    study.git("init", "--quiet")
    study.git("add", "hw2core", "workflow_scripts")
    study.git("commit", "--quiet", "--message", "Begin")
    source = study / "hw2core/engine/optim.py"
    source.write_text(source.read_text().replace("_list_averaged", "_find_averaged"))
    study.edit("hw2core/cnn/yourcodenet.py", "= x * self.factors(x)", "= x * self.factors(x) * 0.9")
    assert "code of hw2core.engine.optim changed" in call(study, "status.py", RUN)[1]
    refused = (study / paths.result_path(OTHER, 0)).read_bytes()
    status, output = call(study, "revalidate.py", RUN, "--commit", "nowhere")
    assert (status, output.startswith("commit nowhere: not a commit")) == (1, True)
    status, output = call(study, "revalidate.py", RUN, OTHER, "--commit", "HEAD")
    assert status == 1
    assert f"refused: {OTHER} seed 0: train_loss: was [" in output
    assert "1 revalidated, 1 refused; 0 missing, current" in output
    assert (study / paths.result_path(OTHER, 0)).read_bytes() == refused
    status, output = call(study, "status.py", RUN)
    assert (status, output.split()[:3]) == (0, [RUN, "0", "current"])
    (note,) = read_result(study / paths.result_path(RUN, 0)).revalidated
    assert note.commit == study.git("rev-parse", "HEAD")
    assert note.compared.startswith("tiny_L4_K4 (resnet, adamw, ")
    status, output = call(study, "revalidate.py", RUN)
    assert (status, "0 refused; 1 missing, current" in output) == (0, True)


@pytest.mark.slow
def test_a_change_of_wider_or_deeper_networks_is_refused(study):
    study.git("init", "--quiet")
    study.git("add", "hw2core", "workflow_scripts")
    study.git("commit", "--quiet", "--message", "Begin")
    study.overlay("exp1_4", grid={"filters_per_layer": [[24]], "layers_per_block": [6]})
    study.snakemake("results/exp1_4_L6_K24")
    networks = "hw2core/config/networks.py"
    widths = '"channels": [min(k, 20) for k in self.channels],'
    study.edit(networks, '"channels": self.channels,', widths)
    status, output = call(study, "revalidate.py", "exp1_4_L6_K24", "--commit", "HEAD")
    assert (status, "parameters: was" in output) == (1, True)
    study.edit(networks, widths, '"channels": self.channels,')
    # The same parameters, but another activation function.
    wide = "(torch.tanh if x.shape[1] > 20 else torch.relu)(self.main"
    study.edit("hw2core/cnn/residual.py", "torch.relu(self.main", wide)
    assert "code of hw2core.cnn.residual changed" in call(study, "status.py", "exp1_4_L6_K24")[1]
    status, output = call(study, "revalidate.py", "exp1_4_L6_K24", "--commit", "HEAD")
    assert (status, "refused: exp1_4_L6_K24 seed 0: train_loss: was [" in output) == (1, True)
