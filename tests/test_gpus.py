"""Tests of finding the GPU, with a fake nvidia-smi."""

from __future__ import annotations

import os
import platform
import time

import pytest

from hw2core import gpus
from hw2core.errors import UserError
from hw2core.gpus import UNKNOWN, Gpu, find_gpus, find_sign_of_gpu, measure_gpu_memory

MIB = 1 << 20
ONE = "GPU-5a1c, 81559, Disabled"
TWO = f"{ONE}\nGPU-77f0, 24576, Disabled"
DIVIDED = "GPU-5a1c, 81559, Enabled"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for variable in (gpus.DEVICE, gpus.VISIBLE, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Puts a script called nvidia-smi on the PATH, with what it prints and its exit status."""

    def write(text: str, status: int = 0, *, mode: int = 0o755, last: str = "") -> None:
        script = tmp_path / "nvidia-smi"
        script.write_text(f"#!/bin/sh\necho '{text}'\n{last}\nexit {status}\n")
        script.chmod(mode)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return write


@pytest.mark.parametrize(
    ("listed", "visible", "memory"),
    [
        (ONE, None, 81559 * MIB),
        (ONE, "0", 81559 * MIB),
        (TWO, None, 24576 * MIB),  # CUDA and nvidia-smi may count in different orders
        (TWO, "0", 24576 * MIB),
        (TWO, "GPU-5a1c", 81559 * MIB),
        (TWO, "GPU-5", 81559 * MIB),  # CUDA accepts a beginning
        (TWO, "GPU-77f0,GPU-5a1c", 24576 * MIB),
        (TWO, "GPU-none", UNKNOWN),
        (DIVIDED, None, UNKNOWN),
        (DIVIDED, "0", UNKNOWN),
        (DIVIDED, "MIG-9e2b", UNKNOWN),
        ("GPU-5a1c, [N/A], [N/A]", None, UNKNOWN),  # memory that it shares with the CPU
        ("GPU-5a1c, 8192, [N/A]", None, 8192 * MIB),  # no MIG on this kind
        (TWO, "", 0),
        (TWO, "-1", 0),
        (TWO, "NoDevFiles", 0),
    ],
)
def test_the_visible_gpu_counts(nvidia_smi, monkeypatch, listed, visible, memory):
    nvidia_smi(listed)
    if visible is not None:
        monkeypatch.setenv(gpus.VISIBLE, visible)
    assert measure_gpu_memory(find_gpus()) == memory


@pytest.mark.parametrize(
    ("listed", "visible", "names"),
    [
        (TWO, None, ["GPU-5a1c", "GPU-77f0"]),
        (TWO, "1,0", ["1", "0"]),  # CUDA and nvidia-smi may count in different orders
        (TWO, "GPU-7", ["GPU-77f0"]),
        (TWO, "GPU-7,-1,GPU-5", ["GPU-77f0"]),  # CUDA reads up to what is no GPU
        (ONE, "0", ["GPU-5a1c"]),
        (ONE, "MIG-9e2b, MIG-77aa", ["MIG-9e2b", "MIG-77aa"]),
        (DIVIDED, None, ["GPU-5a1c"]),  # its instances are not listed
    ],
)
def test_gpus_have_the_names_that_cuda_understands(nvidia_smi, monkeypatch, listed, visible, names):
    nvidia_smi(listed)
    if visible is not None:
        monkeypatch.setenv(gpus.VISIBLE, visible)
    assert [gpu.name for gpu in find_gpus()] == names


def test_a_number_is_a_place_on_the_bus_where_cuda_counts_so(nvidia_smi, monkeypatch):
    nvidia_smi(TWO)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv(gpus.VISIBLE, "1")
    assert find_gpus() == [Gpu("GPU-77f0", 24576 * MIB)]


def test_instances_count_as_gpus_that_are_not_shared(tmp_path, monkeypatch):
    """As nvidia-smi 570 lists them, with made-up UUIDs."""
    (tmp_path / "nvidia-smi").write_text(
        """#!/bin/sh
if [ "$1" = -L ]; then cat <<'END'
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5a1c)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-77f0)
  MIG 3g.20gb     Device  0: (UUID: MIG-a1)
  MIG 2g.10gb     Device  1: (UUID: MIG-b2)
GPU 2: NVIDIA A100-SXM4-40GB (UUID: GPU-9999)
  MIG 3g.20gb     Device  0: (UUID: MIG-c3)
END
else echo 'GPU-5a1c, 40960, Disabled
GPU-77f0, 40960, Enabled
GPU-9999, 40960, Enabled'; fi
"""
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    whole, *instances = find_gpus()
    assert whole == Gpu("GPU-5a1c", 40960 * MIB)
    assert instances == [Gpu(name, UNKNOWN) for name in ("MIG-a1", "MIG-b2", "MIG-c3")]


@pytest.mark.parametrize(("text", "status"), [("No devices were found", 6), ("failed", 9), ("", 0)])
def test_a_driver_without_a_gpu_is_none(nvidia_smi, text, status):
    nvidia_smi(text, status)
    assert measure_gpu_memory(find_gpus()) == 0
    assert find_sign_of_gpu() is None


def test_a_machine_without_the_tool_has_no_gpu(monkeypatch, tmp_path, nvidia_smi):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert measure_gpu_memory(find_gpus()) == 0
    nvidia_smi(ONE, mode=0o644)
    assert measure_gpu_memory(find_gpus()) == 0


def test_where_only_the_variable_names_a_gpu_it_is_not_shared(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(gpus.VISIBLE, "0")
    assert measure_gpu_memory(find_gpus()) == UNKNOWN


def test_jobs_that_train_on_the_cpu_need_no_gpu(nvidia_smi, monkeypatch):
    nvidia_smi(ONE)
    monkeypatch.setenv(gpus.DEVICE, "cpu")
    assert measure_gpu_memory(find_gpus()) == 0


def test_a_tool_that_hangs_is_one_line_and_no_gpu(nvidia_smi, monkeypatch, capfd):
    monkeypatch.setattr(gpus, "SECONDS_TO_ANSWER", 0.2)
    nvidia_smi(ONE, last="exec sleep 60")
    start = time.monotonic()
    assert measure_gpu_memory(find_gpus()) == 0
    assert time.monotonic() - start < 10
    (line,) = capfd.readouterr().err.splitlines()
    assert "nvidia-smi does not answer within 0.2 seconds" in line
    assert "nvidia-smi does not answer" in find_sign_of_gpu()


def test_what_says_that_there_is_a_gpu(nvidia_smi, monkeypatch):
    nvidia_smi(ONE)
    assert find_sign_of_gpu() == "nvidia-smi lists GPU-5a1c"
    monkeypatch.setenv(gpus.VISIBLE, "3")
    assert find_sign_of_gpu() == "CUDA_VISIBLE_DEVICES is 3"
    monkeypatch.setenv(gpus.VISIBLE, "")
    assert find_sign_of_gpu() is None


@pytest.mark.parametrize("name", ["cpu", "mps", "cuda", "cuda:0", "cuda:15", "xpu:1", "", None])
def test_a_device_that_can_train_somewhere_is_accepted(name, monkeypatch):
    monkeypatch.setenv(gpus.DEVICE, "cpu")
    gpus.check_device(name)
    monkeypatch.setenv(gpus.DEVICE, name or "")
    gpus.check_device()


@pytest.mark.parametrize(
    "name",
    [
        *("meta", "xla", "vulkan", "lazy", "hpu", "privateuseone", "mkldnn", "opengl", "gpu", "0"),
        *("cuda:-1", "cuda:", "cuda:1000", "cpu:7", "cpu:0", "CPU", " cpu", "cpu\n", "\x1b[2J"),
    ],
)
def test_any_other_device_is_refused_in_one_line(name, monkeypatch):
    monkeypatch.setenv(gpus.DEVICE, name)
    for check in (find_gpus, lambda: gpus.check_device(name)):
        with pytest.raises(UserError, match="must be cpu, mps, cuda or xpu") as caught:
            check()
        assert str(caught.value).isprintable()
