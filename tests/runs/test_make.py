from __future__ import annotations

import multiprocessing
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from queue import Queue

import numpy as np
import pytest
import torch

from hw2core.config.spec import RunSpec
from hw2core.engine.cuda_graph import GraphError
from hw2core.engine.generators import seed_generators
from hw2core.errors import UserError
from hw2core.io import WriteError
from hw2core.runs import make
from hw2core.runs.files import read_evaluation, read_result, write_evaluation, write_result
from hw2core.runs.make import make_evaluation, make_result
from hw2core.runs.outcome import judge_status


def test_a_diverged_run_is_a_result_like_any_other(tiny_values, tiny_data, in_folder):
    training = {**tiny_values["training"], "optimizer": "sgd", "lr": 1e20}
    spec = RunSpec.model_validate({**tiny_values, "training": training})
    result, trained = make_result(spec, 0, tiny_data, device="cpu")
    assert judge_status(result) == "diverged"
    assert result.epochs.train_loss[-1] is None
    write_result("seed0.json", result)
    again = read_result("seed0.json")  # the network is rebuilt from the result alone
    assert again == result
    evaluation = make_evaluation(again, trained.weights, tiny_data, num_images=50, device="cpu")
    assert evaluation.num_images == sum(map(sum, evaluation.confusion)) == 50
    write_evaluation("seed0.test.json", evaluation)
    assert read_evaluation("seed0.test.json") == evaluation
    assert evaluation.mistakes == []


def test_a_run_does_not_start_where_torch_would_wait_for_ever(tiny_spec, tiny_data, monkeypatch):
    monkeypatch.setenv("OMP_DYNAMIC", "true")
    with pytest.raises(UserError, match=r"^OMP_DYNAMIC=true: "):
        make_result(tiny_spec, 0, tiny_data, device="cpu")


def test_a_commit_made_while_it_trains_is_not_that_of_the_code(tiny_spec, tiny_data, monkeypatch):
    commits = iter(["before", "after"])
    monkeypatch.setattr(make, "read_commit", lambda: next(commits))
    result, _ = make_result(tiny_spec, 0, tiny_data, device="cpu")
    assert result.environment.git_commit == "before"


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_random_numbers_and_switches_go_on_after_a_run(tiny_values, tiny_data, device):
    training = {**tiny_values["training"], "deterministic": True}
    spec = RunSpec.model_validate({**tiny_values, "training": training})
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    drawn = []
    for trains in (False, True):
        seed_generators(7)
        if trains:
            make_result(spec, 0, tiny_data, device=device)
        own = torch.rand((), device=device).item()
        drawn.append((random.random(), np.random.rand(), torch.rand(()).item(), own))
    assert drawn[0] == drawn[1]
    assert [switch.allow_tf32 for switch in switches] == before
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("setting", ["", "fp32_precision", "cudnn.fp32_precision"])
def test_switches_are_restored_in_whichever_way_they_were_set(setting):
    code = TURNS_OFF.format(setting=f"torch.backends.{setting} = 'ieee'" if setting else "")
    before, after = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert after == before


TURNS_OFF = """
import torch
from hw2core.engine.device import prepare_device
from hw2core.runs.environment import PRECISIONS
from hw2core.runs.make import keep_switches
from operator import attrgetter
{setting}
print([attrgetter(name)(torch) for name in PRECISIONS])
with keep_switches():
    prepare_device(torch.device("cuda"), deterministic=True)
print([attrgetter(name)(torch) for name in PRECISIONS])
assert not torch.are_deterministic_algorithms_enabled()
torch.use_deterministic_algorithms(True)
with keep_switches():
    prepare_device(torch.device("cuda"), deterministic=True)
assert not torch.is_deterministic_algorithms_warn_only_enabled()
"""


def test_runs_in_threads_have_the_numbers_that_they_have_alone(tiny_spec, tiny_data):
    def train(seed):
        return make_result(tiny_spec, seed, tiny_data, device="cpu")[0].epochs

    alone = list(map(train, range(3)))
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(train, range(3))) == alone


def test_a_failed_capture_is_said_though_the_generator_of_the_gpu_cannot_be_restored(
    tiny_spec, tiny_data, monkeypatch
):
    def fail(error):
        raise error

    monkeypatch.setattr(make, "train_run", lambda *_, **__: fail(GraphError("no CUDA graph")))
    monkeypatch.setattr(make, "set_generators", lambda *_: fail(RuntimeError("CUDA error")))
    with pytest.raises(GraphError):
        make_result(tiny_spec, 0, tiny_data, device="cpu")


def test_a_full_disk_is_one_line_also_in_the_words_of_torch(tiny_spec, tiny_data, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1 vs 2")

    monkeypatch.setattr(make, "train_run", fail)
    with pytest.raises(WriteError, match=r"^the best weights cannot be written \(\[enforce"):
        make_result(tiny_spec, 0, tiny_data, device="cpu")


def test_a_thread_that_waits_for_another_says_so(monkeypatch):
    said: Queue[str] = Queue()
    monkeypatch.setattr(make, "print", lambda text, file: said.put(text), raising=False)

    def take_turn():
        with make.wait_for_turn(), make.wait_for_turn():
            pass

    with ThreadPoolExecutor(1) as pool:
        with make.wait_for_turn():
            take_turn()
            waiting = pool.submit(take_turn)
            assert said.get(timeout=60) == "waits until the run of another thread has ended"
            assert not waiting.done()
        waiting.result(timeout=60)
    assert said.empty()


def test_a_process_forked_beside_a_run_waits_for_nothing():
    with make.wait_for_turn():
        process = multiprocessing.get_context("fork").Process(target=make.wait_for_turn().__enter__)
        process.start()
        process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize(("name", "current"), [("cuda:1", 1), ("cuda", 0), ("cpu", 0)])
def test_the_gpu_that_trains_or_evaluates_is_the_current_one(
    tiny_spec, tiny_data, make_result, monkeypatch, name, current
):
    """CUDA captures graphs on the current GPU; an empty one would train nothing."""
    here, seen = [0], []

    class Current(Exception):
        pass

    @contextmanager
    def use(device):
        here.append(0 if device.index is None else device.index)
        yield
        here.pop()

    def note(*_, **__):
        seen.append(here[-1])
        raise Current

    monkeypatch.setattr(make, "pick_device", torch.device)
    monkeypatch.setattr(make, "get_generators", lambda device: {})
    monkeypatch.setattr(make, "set_generators", lambda states, device: None)
    monkeypatch.setattr(make, "keep_switches", nullcontext)
    monkeypatch.setattr(make, "check_graph", lambda spec, device: None)
    monkeypatch.setattr(torch.cuda, "device", use)
    for function in ("train_run", "evaluate_weights"):
        monkeypatch.setattr(make, function, note)
    with pytest.raises(Current):
        make.make_result(tiny_spec, 0, tiny_data, device=name)
    with pytest.raises(Current):
        make_evaluation(make_result(), {}, tiny_data, num_images=5, device=name)
    assert seen == [current, current]
