from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hw2core import pipeline
from hw2core.config.spec import RunSpec
from hw2core.errors import UserError
from hw2core.io import WriteError
from hw2core.pipeline import (
    Planner,
    hash_files,
    is_forced,
    mark_forced,
    settle_times,
    was_stale_before,
    write_notice,
)
from hw2core.runs import files, paths

STALE = "results/run/seed0.json"


@pytest.fixture
def stale(in_folder) -> Path:
    """A file that is said to be stale."""
    path = Path(STALE)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    return path


def notice_of(path: Path = Path(STALE)) -> Path:
    (notice,) = write_notice(str(path), ["training.lr: was 0.5, is 0.003", "and more"])
    return Path(notice)


def test_a_notice_gives_the_reasons_in_the_folder_of_snakemake(stale):
    before = stale.stat().st_mtime_ns
    notice = notice_of()
    assert {path for path in Path().rglob("*") if path.is_file()} == {notice, stale}
    assert stale.stat().st_mtime_ns == before
    assert notice.parent == Path(".snakemake/stale")
    assert notice.read_text() == (
        f"{STALE} is stale:\n  training.lr: was 0.5, is 0.003\n  and more\n"
    )
    assert write_notice(STALE, []) == []
    stale.unlink()
    assert write_notice(STALE, ["not trained yet"]) == []


def test_a_file_is_forced_until_it_is_made_again_or_planned_without_force(stale):
    assert not is_forced(STALE)
    mark_forced(STALE, forced=True)
    assert is_forced(STALE)
    os.utime(stale, (1, 1))  # as after an attempt that failed
    assert is_forced(STALE)
    stale.write_text("made again")
    assert not is_forced(STALE)
    mark_forced(STALE, forced=True)
    mark_forced(STALE, forced=False)
    assert not is_forced(STALE)
    mark_forced("results/other.json", forced=True)
    assert not is_forced("results/other.json")


def test_a_link_that_is_made_again_has_a_newer_notice(stale):
    # As git-annex and DVC do with the content of each commit.
    store = Path("store.json")
    stale.rename(store)
    notices = []
    for _ in range(2):
        stale.symlink_to(store.resolve())
        notices.append(notice_of())
        assert notices[-1].stat().st_mtime > stale.lstat().st_mtime
        stale.unlink()
        time.sleep(0.02)  # a tick of the clock of the disk
    assert notices[0] != notices[1]


@pytest.mark.parametrize("ahead", [-86_400, 0, 86_400])
def test_a_notice_is_newer_than_its_file_whatever_the_clock_says(stale, ahead):
    then = time.time() + ahead
    os.utime(stale, (then, then))
    assert notice_of().stat().st_mtime > stale.stat().st_mtime


def test_a_notice_stays_as_it_is_until_another_file_is_stale(stale):
    first = notice_of()
    before = first.stat()
    again = notice_of()
    assert (again, again.stat().st_mtime_ns) == (first, before.st_mtime_ns)
    other = stale.with_name("seed1.json")
    shutil.copy2(stale, other)
    assert notice_of(other) != first
    shutil.copy2(stale, "backup")
    stale.write_text("trained again")
    second = notice_of()
    shutil.copy2("backup", stale)  # with its old time and content
    assert stale.stat().st_mtime_ns == Path("backup").stat().st_mtime_ns
    assert len({first, second, notice_of()}) == 3


def test_what_is_made_after_a_file_was_found_stale_is_known_until_the_file_changes(stale):
    made = stale.with_name("made")
    made.touch()
    assert not was_stale_before(str(stale), made)
    then = notice_of().stat().st_mtime
    for before, expected in ((1, False), (-1, True)):
        os.utime(made, (then - before, then - before))
        assert was_stale_before(str(stale), made) == expected
    stale.write_text("trained again")
    assert not was_stale_before(str(stale), made)


def test_a_notice_that_cannot_be_written_is_one_error(stale):
    Path(".snakemake").touch()
    with pytest.raises(WriteError, match=r"\.snakemake/stale/.*: cannot be written"):
        notice_of()


def test_the_hash_of_files_follows_content_names_and_presence(in_folder):
    Path("a").write_text("1")
    Path("b").write_text("1")
    hashes = [hash_files(["a"]), hash_files(["b"]), hash_files(["c"]), hash_files(["a", "b"])]
    assert len(set(hashes)) == 4
    os.utime("a", (0, 0))
    assert hash_files(["a"]) == hashes[0]
    Path("a").write_text("2")
    assert hash_files(["a"]) != hashes[0]


def test_files_of_the_future_become_of_now_and_others_stay(tmp_path):
    future, past = tmp_path / "future", tmp_path / "past"
    for path, then in [(future, time.time() + 86_400), (past, 0)]:
        path.touch()
        os.utime(path, (then, then))
    settle_times([str(path) for path in (future, past, tmp_path / "missing")])
    assert future.stat().st_mtime <= time.time()
    assert past.stat().st_mtime == 0


def plan(spec: RunSpec) -> tuple[bool, bool, bool]:
    """Return whether a run is trained, evaluated, and on prepared images."""
    planner = Planner(SimpleNamespace(runs={spec.name: spec}))
    methods = (planner.trains, planner.evaluates, planner.needs_test_images)
    return tuple(method(spec.name, 0) for method in methods)


@pytest.mark.parametrize(
    ("weights", "evaluation", "changes", "expected"),
    [
        (True, True, {}, (False, False, False)),
        (True, False, {}, (False, True, True)),
        (False, True, {}, (False, False, False)),
        (False, False, {}, (False, True, False)),  # refused: see below
        (False, True, {"code": {"hw2core.training": "0"}}, (True, True, True)),
        (True, True, {"code": {"hw2core.training": "0"}}, (True, True, True)),
    ],
)
def test_a_run_is_evaluated_where_it_has_weights_or_will_have(
    tiny_spec, write_run, weights, evaluation, changes, expected
):
    assert plan(tiny_spec) == (True, True, True)  # before there is any file
    write_run(weights=weights, evaluation=evaluation, **changes)
    assert plan(tiny_spec) == expected


def test_without_weights_an_older_result_passes_its_evaluation_on(
    tiny_spec, write_run, make_result, make_evaluation
):
    write_run(weights=False)
    path = Path(paths.evaluation_path(tiny_spec.name, 0))
    path.write_text("{")
    assert plan(tiny_spec) == (False, True, False)  # a damaged one is left to the job to report
    planner = Planner(SimpleNamespace(runs={tiny_spec.name: tiny_spec}))
    (notice,) = planner.list_evaluation_notices(tiny_spec.name, 0)
    assert f"{path}: not a result, or damaged" in Path(notice).read_text()
    with pytest.raises(UserError, match="missing"):
        planner.check_jobs([job_of("evaluate", tiny_spec.name, str(path))])
    path.unlink()
    result = make_result()
    files.write_single_file(paths.result_path(tiny_spec.name, 0), result, make_evaluation(result))
    assert plan(tiny_spec) == (False, True, False)
    planner.check_jobs([job_of("evaluate", tiny_spec.name, str(path))])


def test_a_job_that_lacks_weights_or_images_is_refused_before_any_job(tiny_spec, write_run):
    write_run(evaluation=False)
    planner = Planner(SimpleNamespace(runs={tiny_spec.name: tiny_spec}))
    evaluation = paths.evaluation_path(tiny_spec.name, 0)
    weights = Path(paths.weights_path(tiny_spec.name, 0))
    evaluate = job_of("evaluate", tiny_spec.name, evaluation)
    result = paths.result_path(tiny_spec.name, 0)
    train = job_of("train", tiny_spec.name, result, str(weights))
    planner.check_jobs([evaluate, job_of("figures", "")])
    weights.unlink()
    planner.check_jobs([job_of("train", tiny_spec.name, "new", str(weights)), evaluate])
    with pytest.raises(UserError) as refusal:
        planner.check_jobs([evaluate, evaluate])
    assert str(refusal.value) == (
        f"{weights}: missing, so {evaluation} cannot be made; copy one of them here, or delete "
        f"{result} to train the run again (1 more like it)"
    )
    with pytest.raises(UserError, match=r"manifest.json: missing, so .*; nothing is deleted"):
        planner.check_jobs([train, evaluate])
    Path(evaluation).touch()  # as with -R evaluate
    with pytest.raises(UserError, match=r"safetensors: missing, so .* again; nothing is deleted$"):
        planner.check_jobs([evaluate])


def job_of(rule: str, run: str, *output: str) -> SimpleNamespace:
    """A job of Snakemake."""
    wildcards = SimpleNamespace(run=run, seed=0)
    return SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards=wildcards, output=output)


def test_jobs_run_this_python_and_the_code_of_the_checkout(monkeypatch):
    python = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"/bin{os.pathsep}{python}")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    for _ in range(2):
        pipeline.use_checkout("/checkout")
        assert "PYTHONSAFEPATH" not in os.environ
        programs = ["/checkout/slurm/bin", python, "/bin"]
        assert os.environ["PATH"] == os.pathsep.join(programs)
        assert os.environ["PYTHONPATH"] == f"/checkout{os.pathsep}/elsewhere"
    monkeypatch.delenv("PYTHONPATH")
    pipeline.use_checkout("/checkout")
    assert os.environ["PYTHONPATH"] == "/checkout"


def test_only_a_job_knows_how_often_it_was_restarted(monkeypatch):
    for name in ("PATH", "PYTHONPATH"):  # restored after the test
        monkeypatch.setenv(name, os.environ.get(name, ""))
    for in_job, known in ((True, "2"), (False, None)):
        monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
        pipeline.use_checkout("/checkout", in_job=in_job)
        assert "SLURM_RESTART_COUNT" not in os.environ  # jobs inherit the environment
        assert os.environ.get(pipeline.RESTARTS) == known
    monkeypatch.setenv(pipeline.RESTARTS, "2")
    pipeline.use_checkout("/checkout", in_job=True)  # a step of the job
    assert os.environ[pipeline.RESTARTS] == "2"
