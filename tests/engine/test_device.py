"""Tests of the choice of the device, on simulated machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from hw2core import gpus
from hw2core.engine.device import (
    DeviceError,
    describe_setting,
    pick_device,
    prepare_device,
    ran_out_of_memory,
)

UUID = "GPU-5a1c"
TOO_OLD = "The NVIDIA driver on your system is too old"


@pytest.fixture(autouse=True)
def no_accelerator(monkeypatch):
    """A machine without any; each test adds what it is about."""
    monkeypatch.delenv(gpus.DEVICE, raising=False)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr(gpus, "list_gpus", list)


@pytest.fixture
def old_driver(monkeypatch):
    """Torch finds no driver that it can use."""

    def fail(*args, device):
        if torch.device(device).type != "cpu":
            raise RuntimeError(f"{TOO_OLD}\nmore for developers")

    monkeypatch.setattr("torch.empty", fail)


def list_one_gpu():
    return [gpus.Gpu(UUID, 1 << 30)]


def hang():
    raise TimeoutError("nvidia-smi does not answer within 5 seconds")


def test_a_machine_without_a_gpu_trains_on_its_cpu():
    assert pick_device().type == "cpu"


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles", "no", "-1,0"])
def test_gpus_that_are_hidden_are_none(monkeypatch, value):
    monkeypatch.setenv(gpus.VISIBLE, value)
    monkeypatch.setattr(gpus, "list_gpus", list_one_gpu)
    assert pick_device().type == "cpu"


@pytest.mark.parametrize("value", ["0", "1,0", "GPU-5a1c", "MIG-77"])
def test_a_visible_gpu_that_torch_cannot_use_is_one_line(monkeypatch, old_driver, value):
    monkeypatch.setenv(gpus.VISIBLE, value)
    with pytest.raises(DeviceError) as caught:
        pick_device()
    assert str(caught.value) == (
        f"CUDA_VISIBLE_DEVICES is {value}, but torch cannot use a GPU ({TOO_OLD}); "
        "HW2_DEVICE=cpu trains on the CPU"
    )


@pytest.mark.parametrize(
    ("find", "sign"),
    [(list_one_gpu, f"nvidia-smi lists {UUID}"), (hang, "nvidia-smi does not answer within 5 s")],
)
def test_a_sign_of_a_gpu_is_not_taken_for_a_machine_without(monkeypatch, old_driver, find, sign):
    monkeypatch.setattr(gpus, "list_gpus", find)
    with pytest.raises(DeviceError, match=f"^{sign}.*, but torch cannot use a GPU"):
        pick_device()


def test_a_gpu_that_is_available_and_refuses_is_one_line(monkeypatch, old_driver):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(DeviceError, match=r"^the GPU cannot be used .*too old"):
        pick_device()


def test_a_device_can_be_asked_for(monkeypatch, old_driver):
    monkeypatch.setenv(gpus.VISIBLE, "0")
    monkeypatch.setenv(gpus.DEVICE, "cpu")
    assert pick_device().type == "cpu"
    with pytest.raises(DeviceError, match="device='cuda': not available here"):
        pick_device("cuda")  # an argument counts more
    monkeypatch.setenv(gpus.DEVICE, "gpu")
    with pytest.raises(DeviceError, match=r"^HW2_DEVICE=gpu: not available here"):
        pick_device()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"
        ),
        MemoryError(),
    ],
)
def test_every_kind_of_missing_memory_is_known(error):
    assert ran_out_of_memory(error)
    assert not ran_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_threads_are_part_of_the_setting(monkeypatch):
    one = describe_setting(torch.device("cpu"), "fp32")
    assert (one["threads"], one["torch"]) == (torch.get_num_threads(), torch.__version__)
    monkeypatch.setattr("torch.get_num_threads", lambda: 99)
    assert describe_setting(torch.device("cpu"), "fp32") == {**one, "threads": 99}


@pytest.fixture
def tf32() -> Iterator[Callable[[], list[bool]]]:
    """Turns TF32 on, and says where it is on."""
    settings = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [setting.allow_tf32 for setting in settings]
    for setting in settings:
        setting.allow_tf32 = True
    yield lambda: [setting.allow_tf32 for setting in settings]
    for setting, value in zip(settings, before, strict=True):
        setting.allow_tf32 = value


def test_no_gpu_multiplies_in_tf32(tf32):
    prepare_device(torch.device("cuda"), deterministic=False)
    assert tf32() == [False, False]
