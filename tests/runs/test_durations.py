from __future__ import annotations

import pytest

from hw2core.config.spec import RunSpec
from hw2core.gpu_share import estimate_gpu_percent
from hw2core.runs import durations
from hw2core.runs.durations import (
    SECONDS_BEFORE,
    SECONDS_PER_JOB,
    Device,
    Estimator,
    add_up,
    find_device,
    format_seconds,
)

CPU = Device("cpu", "a processor", "avx512_bf16")
FIXED = SECONDS_BEFORE + SECONDS_PER_JOB


@pytest.fixture
def long_values(tiny_values):
    tiny_values["training"] |= {"epochs": 100, "precision": "auto"}
    return tiny_values


def specify(values, section=None, **changes) -> RunSpec:
    return RunSpec.model_validate(
        values | changes if section is None else {**values, section: values[section] | changes}
    )


def finish(make_result, spec, seconds, **environment):
    """Return the result of a run that took ``seconds``."""
    made = make_result(spec)
    return made.model_copy(
        update={
            "timing": made.timing.model_copy(update={"seconds": seconds}),
            "environment": made.environment.model_copy(update=environment),
        }
    )


def test_time_grows_with_epochs_images_and_network(long_values):
    estimator = Estimator([], CPU, threads=1)
    once = estimator.estimate(specify(long_values)) - FIXED
    for section, changes, factor in [
        ("training", {"epochs": 200}, 2),
        ("data", {"train": 150, "validation": 50}, 0.5),
        ("architecture", {"filters_per_layer": [64]}, 7),
    ]:
        more = estimator.estimate(specify(long_values, section, **changes)) - FIXED
        assert more / once == pytest.approx(factor, rel=0.5), section


def test_threads_share_the_work(long_values):
    spec = specify(long_values, "architecture", filters_per_layer=[128])
    one, two = (Estimator([], CPU, threads).estimate(spec) - FIXED for threads in (1, 2))
    assert one / two == pytest.approx(2, rel=0.05)


def test_a_finished_run_of_the_same_model_corrects_the_estimate(long_values, make_result):
    spec = specify(long_values)
    expected = Estimator([], CPU, 1).estimate(spec) - SECONDS_PER_JOB
    slow = finish(make_result, spec, 3 * expected)
    finished = [slow, *(finish(make_result, spec, factor * expected) for factor in (1, 50))]
    assert Estimator(finished, CPU, 1).estimate(spec) == Estimator([slow], CPU, 1).estimate(spec)
    assert Estimator([slow], CPU, 1).estimate(spec) == pytest.approx(3 * expected + SECONDS_PER_JOB)
    # Before one of its own model, a run is corrected by all others.
    other = specify(long_values, model="resnet")
    plain = Estimator([], CPU, 1).estimate(other) - SECONDS_PER_JOB
    corrected = Estimator([slow], CPU, 1).estimate(other) - SECONDS_PER_JOB
    assert corrected == pytest.approx(3 * plain)
    fast = finish(make_result, other, plain)
    assert Estimator([slow, fast], CPU, 1).estimate(other) == pytest.approx(plain + SECONDS_PER_JOB)


@pytest.mark.parametrize(
    ("device", "processor"), [("cpu", "another"), ("cuda", "a processor"), ("mps", "a processor")]
)
def test_runs_of_other_devices_do_not_count(long_values, make_result, device, processor):
    spec = specify(long_values)
    foreign = finish(make_result, spec, 9999.0, device=device, processor=processor)
    estimator = Estimator([foreign], CPU, 1)
    assert estimator.estimate(spec) < 9999
    assert "rates measured on an AMD EPYC" in estimator.describe([(60, 1)])


def test_an_estimate_says_what_it_comes_from(long_values, make_result):
    made = [finish(make_result, specify(long_values), 60.0)] * 2
    hours = [(9 * 3600.0, 0.5)] * 2
    assert Estimator(made, CPU, 1).describe(hours) == (
        "about 9 h on this CPU (from 2 finished runs)"
    )
    assert "about 9 h on nodes (" in Estimator(made, CPU, 1).describe(hours, "nodes")
    gpu = find_device(has_gpu=True)._replace(kind="cuda", arithmetic="cuda")  # whatever its name
    made = finish(make_result, specify(long_values), 60.0, device="cuda:1", processor="H100")
    assert "on a GPU (from 1 finished run)" in Estimator([made], gpu, 2).describe([(60, 1)])


def test_runs_that_share_a_gpu_take_as_long_together_as_one_after_the_other(long_values):
    gpu = find_device(has_gpu=True)._replace(kind="cuda", arithmetic="cuda")
    small = specify(long_values)
    share = estimate_gpu_percent(small, 1 << 40) / 100
    alone, shared = (Estimator([], gpu, 1, shares_gpu=shares) for shares in (False, True))
    slowed = (shared.estimate(small) - FIXED) / (alone.estimate(small) - FIXED)
    assert slowed == pytest.approx(1 / share)
    assert shared.describe([(200.0, 0.1)] * 20).startswith("about 7 min")
    assert shared.describe([(200.0, 0.1)]).startswith("about 20 s")


def test_the_arithmetic_of_a_cpu_is_read_from_its_flags(tmp_path, monkeypatch):
    text = "model name : X\nflags : fpu avx512_bf16\n"
    monkeypatch.setattr(durations.Path, "read_text", lambda path, encoding: text)
    assert find_device(has_gpu=False).arithmetic == "avx512_bf16"
    text = text.replace("fpu", "amx_bf16")
    assert find_device(has_gpu=False).arithmetic == "amx_bf16"
    text = text.replace("_bf16", "")
    assert find_device(has_gpu=False).arithmetic == "fp32"


def test_jobs_run_at_once_as_far_as_the_machine_goes():
    assert add_up([]) == 0
    assert add_up([(10, 0.5)] * 4) == 20
    assert add_up([(10, 1)] * 4) == 40
    assert add_up([(100, 0.5), (1, 0.5)]) == 100


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (40, "40 s"),
        (600, "10 min"),
        (6000, "1.7 h"),
        (18_000, "5 h"),
        (216_000, "2.5 days"),
    ],
)
def test_times_have_two_digits(seconds, text):
    assert format_seconds(seconds) == text
