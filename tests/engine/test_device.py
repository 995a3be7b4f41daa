"""Tests of the choice of the device, on simulated machines."""

from __future__ import annotations

import pytest
import torch

from hw2core import gpus
from hw2core.engine.device import DeviceError, describe_setting, pick_device, ran_out_of_memory

UUID = "GPU-5a1c"


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
            raise RuntimeError("The NVIDIA driver on your system is too old\nmore for developers")

    monkeypatch.setattr("torch.empty", fail)


def test_a_machine_without_a_gpu_trains_on_its_cpu():
    assert pick_device().type == "cpu"


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles", "no", "-1,0"])
def test_gpus_that_are_hidden_are_none(monkeypatch, value):
    monkeypatch.setenv(gpus.VISIBLE, value)
    monkeypatch.setattr(gpus, "list_gpus", lambda: [gpus.Gpu(UUID, 1 << 30)])
    assert pick_device().type == "cpu"


@pytest.mark.parametrize("value", ["0", "1,0", "GPU-5a1c", "MIG-77"])
def test_a_visible_gpu_that_torch_cannot_use_is_one_line(monkeypatch, old_driver, value):
    monkeypatch.setenv(gpus.VISIBLE, value)
    with pytest.raises(DeviceError) as caught:
        pick_device()
    assert str(caught.value) == (
        f"CUDA_VISIBLE_DEVICES is {value}, but torch cannot use a GPU (The NVIDIA driver on your "
        "system is too old); HW2_DEVICE=cpu trains on the CPU"
    )


def test_a_gpu_that_nvidia_smi_lists_and_torch_cannot_use_is_one_line(monkeypatch, old_driver):
    monkeypatch.setattr(gpus, "list_gpus", lambda: [gpus.Gpu(UUID, 1 << 30)])
    with pytest.raises(DeviceError, match=f"nvidia-smi lists {UUID}, but torch cannot use a GPU"):
        pick_device()


def test_a_driver_that_hangs_is_not_taken_for_a_machine_without_gpu(monkeypatch, old_driver):
    def hang():
        raise TimeoutError("nvidia-smi does not answer within 5 seconds")

    monkeypatch.setattr(gpus, "list_gpus", hang)
    with pytest.raises(DeviceError, match="nvidia-smi does not answer within 5 seconds, but torch"):
        pick_device()


def test_a_gpu_that_is_available_and_refuses_is_one_line(monkeypatch, old_driver):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(DeviceError, match=r"^the GPU cannot be used .*too old"):
        pick_device()


def test_the_cpu_can_be_asked_for(monkeypatch, old_driver):
    monkeypatch.setenv(gpus.VISIBLE, "0")
    monkeypatch.setenv(gpus.DEVICE, "cpu")
    assert pick_device().type == "cpu"
    with pytest.raises(DeviceError, match="device='cuda': not available here"):
        pick_device("cuda")  # an argument counts more


def test_a_device_that_nobody_knows_is_one_line(monkeypatch):
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


def test_other_errors_are_not_for_want_of_memory():
    assert not ran_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_threads_are_part_of_the_setting():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = describe_setting(torch.device("cpu"), "fp32")
        torch.set_num_threads(2)
        assert describe_setting(torch.device("cpu"), "fp32") == {**one, "threads": 2}
    finally:
        torch.set_num_threads(before)
    assert one["torch"] == torch.__version__
