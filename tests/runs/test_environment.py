from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hw2core.errors import UserError
from hw2core.runs import environment


def test_threads_are_slurms_allotment_or_the_affinity(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert environment.count_allotted_threads() == 3
    for wrong in ("0", "abc", "-1", "2.5"):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", wrong)
        with pytest.raises(UserError, match=f"SLURM_CPUS_PER_TASK='{wrong}': must be"):
            environment.count_allotted_threads()
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5}, raising=False)
    assert environment.count_allotted_threads() == 2


def test_the_environment_has_versions_and_processor():
    found = environment.describe_environment("cpu")
    assert found["versions"].keys() == {"python", "torch", "numpy"}
    assert found["versions"]["python"] == platform.python_version()
    assert found["processor"]


@pytest.mark.parametrize("last", ["exec sleep 20", "sleep 20 &"])
def test_a_git_that_hangs_is_not_waited_for(tmp_path, monkeypatch, last):
    (tmp_path / "git").write_text(f"#!/bin/sh\n{last}\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(environment, "SECONDS_TO_ANSWER", 0.1)
    start = time.monotonic()
    assert environment.read_commit() is None
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("variable", environment.OVERRIDES)
def test_variables_with_which_torch_waits_or_is_less_precise_are_refused(monkeypatch, variable):
    environment.refuse_overrides()
    monkeypatch.setenv(variable, "1")
    with pytest.raises(UserError, match=f"^{variable}=1: torch would wait for ever, or"):
        environment.refuse_overrides()


PRODUCTS = """
import torch
from hw2core.engine.device import prepare_device
from hw2core.errors import UserError
from hw2core.runs.environment import refuse_overrides
b = torch.backends
def prepare():
    prepare_device(torch.device("cuda"), deterministic=False)
for statement in {statements}:
    exec(statement)
try:
    refuse_overrides()
except UserError as error:
    print(error)
else:
    prepare()
    print(b.cudnn.conv.fp32_precision, b.cuda.matmul.fp32_precision, b.cudnn.allow_tf32)
"""


@pytest.mark.parametrize(
    ("statements", "printed"),
    [
        (["torch.set_float32_matmul_precision('high')"], r"torch.backends.cuda.*= 'tf32'.*: torch"),
        (["b.mkldnn.conv.fp32_precision = 'bf16'"], "torch.backends.mkldnn.conv.*= 'bf16': torch"),
        (["b.fp32_precision = 'tf32'"], r"torch.backends.fp32_precision = 'tf32'.*: torch"),
        (["prepare()", "b.cudnn.fp32_precision = 'tf32'"], r"torch.*cudnn.*= 'tf32': torch"),
        (
            ["torch.set_default_dtype(torch.float64)"],
            r"torch.set_default_dtype\(torch.float64\): t",
        ),
        (["torch.set_default_device('meta')"], r"torch.set_default_device\('meta'\): torch"),
        (["torch.set_grad_enabled(False)"], r"torch.no_grad or torch.set_grad_enabled\(False\): t"),
        (["torch.autocast('cpu', torch.bfloat16).__enter__()"], "torch.autocast: torch would"),
        # What prepare_device turns off, and what is as precise as it should be.
        (["b.cudnn.conv.fp32_precision = 'tf32'"], "none ieee False"),
        (["b.fp32_precision = b.cudnn.conv.fp32_precision = 'ieee'"], "ieee ieee False"),
    ],
)
def test_products_in_less_than_fp32_are_refused(statements, printed):
    code = PRODUCTS.format(statements=statements)
    assert re.match(printed, subprocess.check_output([sys.executable, "-c", code], text=True))


def test_the_commit_says_whether_files_differ_from_it(tmp_path):
    assert environment.read_commit(tmp_path) is None

    def git(*arguments: str) -> None:
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    package = tmp_path / "hw2core"
    package.mkdir()
    (tmp_path / "file").write_text("a")
    (package / "__init__.py").touch()
    git("add", "file")
    git("commit", "-m", "x")
    assert environment.read_commit(tmp_path) is None  # a repository that the code is not part of
    git("add", "hw2core")
    git("commit", "-m", "y")
    commit = environment.read_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "file").write_text("b")
    assert environment.read_commit(tmp_path) == f"{commit}-dirty"


# Counts the pages that the system clears for a block of 100 MB: 25,600 of them if of 4 kB.
CLEARED = """
import resource, torch
from hw2core.runs.environment import use_large_pages
use_large_pages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.zeros(100 << 20, dtype=torch.uint8).add_(1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text(),
    reason="this system gives no large pages",
)
def test_torch_gets_large_pages():
    variables = {k: v for k, v in os.environ.items() if k != environment.LARGE_PAGES}
    command = [sys.executable, "-c", CLEARED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
    assert int(done.stdout) < 13_000
