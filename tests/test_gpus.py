"""Tests of finding the GPU, with a fake nvidia-smi."""

from __future__ import annotations

import os
import platform
import time

import psutil
import pytest

from hw2core import gpus
from hw2core.errors import UserError
from hw2core.gpus import UNKNOWN, Gpu, find_gpus, find_sign_of_gpu, measure_gpu_memory

MIB = 1 << 20
A, B = Gpu("GPU-5a1c", 81559 * MIB), Gpu("GPU-77f0", 24576 * MIB)
ONE = "GPU-5a1c, 81559, Disabled"
TWO = f"{ONE}\nGPU-77f0, 24576, Disabled"
DIVIDED = "GPU-5a1c, 81559, Enabled"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for variable in (gpus.DEVICE, gpus.CUDA_GRAPH, gpus.VISIBLE, "CUDA_DEVICE_ORDER"):
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
    ("listed", "visible", "expected"),
    [
        (ONE, None, [A]),
        (ONE, "0", [A]),
        (TWO, None, [A, B]),
        # CUDA and nvidia-smi may count in different orders.
        (TWO, "1,0", [Gpu("1", B.memory), Gpu("0", B.memory)]),
        (TWO, "GPU-5", [A]),  # CUDA accepts a beginning
        (TWO, "GPU-77f0,GPU-5a1c", [B, A]),
        (TWO, "GPU-7,-1,GPU-5", [B]),  # CUDA reads up to what is no GPU
        (ONE, "1", [Gpu("1", UNKNOWN)]),  # which is not there
        (ONE, "1,0", [Gpu("1", UNKNOWN)]),
        (ONE, "0,1", [A]),
        (TWO, "0,7,1", [Gpu("0", B.memory)]),
        (TWO, "GPU-none", [Gpu("GPU-none", UNKNOWN)]),
        (DIVIDED, None, [Gpu("GPU-5a1c", UNKNOWN)]),  # its instances are not listed
        (DIVIDED, "0", [Gpu("GPU-5a1c", UNKNOWN)]),
        (ONE, "MIG-9e2b, MIG-77aa", [Gpu("MIG-9e2b", UNKNOWN), Gpu("MIG-77aa", UNKNOWN)]),
        # Memory that it shares with the CPU, and a kind without MIG.
        ("GPU-5a1c, [N/A], [N/A]", None, [Gpu("GPU-5a1c", UNKNOWN)]),
        ("GPU-5a1c, 0, [N/A]", None, [Gpu("GPU-5a1c", UNKNOWN)]),
        ("GPU-5a1c, 8192, [N/A]", None, [Gpu("GPU-5a1c", 8192 * MIB)]),
        (TWO, "", []),
        (TWO, "-1", []),
        (TWO, "NoDevFiles", []),
        ("No devices were found", None, []),
        ("", None, []),
        ("", "0", [Gpu("0", UNKNOWN)]),
    ],
)
@pytest.mark.parametrize("status", [0, 9])
def test_the_visible_gpus_have_names_that_cuda_understands(
    nvidia_smi, monkeypatch, listed, visible, expected, status
):
    nvidia_smi(listed, status)
    if visible is not None:
        monkeypatch.setenv(gpus.VISIBLE, visible)
    assert find_gpus() == expected
    assert measure_gpu_memory(expected) == min((gpu.memory for gpu in expected), default=0)
    assert bool(find_sign_of_gpu()) == bool(expected)


def test_a_number_is_a_place_on_the_bus_where_cuda_counts_so(nvidia_smi, monkeypatch):
    nvidia_smi(TWO)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.setenv(gpus.VISIBLE, "1")
    assert find_gpus() == [B]


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
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    for number in ("0", "2"):
        monkeypatch.setenv(gpus.VISIBLE, number)
        assert find_gpus() == [Gpu(number, UNKNOWN)]
    monkeypatch.delenv(gpus.VISIBLE)
    whole, *instances = find_gpus()
    assert whole == Gpu("GPU-5a1c", 40960 * MIB)
    assert instances == [Gpu(name, UNKNOWN) for name in ("MIG-a1", "MIG-b2", "MIG-c3")]


def test_a_machine_without_the_tool_has_no_gpu(monkeypatch, tmp_path, nvidia_smi):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_gpus() == []
    nvidia_smi(ONE, mode=0o644)
    assert find_gpus() == []


@pytest.mark.parametrize(
    ("device", "expected"),
    [("cpu", []), ("cuda:1", [Gpu("", B.memory)]), ("cuda", [A, B]), ("", [A, B])],
)
def test_jobs_are_given_no_other_device_than_the_variable_names(
    nvidia_smi, monkeypatch, device, expected
):
    nvidia_smi(TWO)
    monkeypatch.setenv(gpus.DEVICE, device)
    assert find_gpus() == expected


def test_the_gpu_of_a_mac_has_the_memory_of_the_machine(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    (gpu,) = find_gpus()
    assert gpu == Gpu("", psutil.virtual_memory().total)


def test_a_tool_that_hangs_is_one_line_and_no_gpu(nvidia_smi, monkeypatch, capfd):
    monkeypatch.setattr(gpus, "SECONDS_TO_ANSWER", 0.2)
    nvidia_smi(ONE, last="exec sleep 60")
    start = time.monotonic()
    assert measure_gpu_memory(find_gpus()) == 0
    assert time.monotonic() - start < 10
    (line,) = capfd.readouterr().err.splitlines()
    assert "nvidia-smi does not answer within 0.2 seconds" in line
    assert "nvidia-smi does not answer" in find_sign_of_gpu()


def test_a_program_that_the_tool_leaves_running_is_not_waited_for(nvidia_smi):
    nvidia_smi(ONE, last="sleep 20 &")
    start = time.monotonic()
    assert find_gpus() == [A]
    assert time.monotonic() - start < gpus.SECONDS_TO_ANSWER


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


@pytest.mark.parametrize("value", ["0", "1", "", "0 (no CUDA graph: not permitted)"])
def test_cuda_graphs_are_turned_on_and_off_by_one_and_zero(value, monkeypatch):
    monkeypatch.setenv(gpus.CUDA_GRAPH, value)
    gpus.check_device()


@pytest.mark.parametrize("value", ["off", "no", "false", "2", "00", "0off", " 0", "01", "\x1b[2J"])
def test_any_other_value_for_cuda_graphs_is_refused_in_one_line(value, monkeypatch):
    monkeypatch.setenv(gpus.CUDA_GRAPH, value)
    for check in (find_gpus, lambda: gpus.check_device("cpu")):
        with pytest.raises(UserError, match=r"^HW2_CUDA_GRAPH=.*: must be 0 .* or 1$") as caught:
            check()
        assert str(caught.value).isprintable()
