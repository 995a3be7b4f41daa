"""Tests of the commands that Snakemake's Slurm plugin calls, with fakes of Slurm's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hw2core.retries import Retries
from hw2core.runs.paths import log_path

COMMANDS = Path(__file__).parents[1] / "slurm/bin"
NAME = "call-1"
SUBMIT = ("--parsable", "--job-name", NAME, "--output", "x", "--comment", "rule_a")
STATES = {
    "squeue": ("--format=%i|%T", "--states=all", "--noheader", "--name", NAME),
    "sacct": ("-X", "--parsable2", "--noheader", "--format=JobIdRaw,State", "--name", NAME),
}
LIMIT = "sbatch: error: AssocMaxSubmitJobLimit"
KEEP_COMMENT = 'for a; do [ "$before" = --comment ] && echo "$a" > comment; before=$a; done'
UNHEARD = "echo Socket timed out on send/recv operation >&2; exit 1"


@pytest.fixture
def slurm(in_folder, monkeypatch) -> Callable[[str, str], None]:
    """Defines a command of Slurm by a shell script."""
    programs = in_folder / "programs"
    programs.mkdir()
    path = [COMMANDS, Path(sys.executable).parent, programs, "/usr/bin", "/bin"]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, path)))

    def define(command: str, script: str, mode: int = 0o755) -> None:
        (programs / command).write_text(f"#!/bin/sh\n{script}\n")
        (programs / command).chmod(mode)

    # Whatever this machine has.
    for command in ("sbatch", "squeue", "sacct", "scancel", "sinfo", "sacctmgr", "sshare"):
        define(command, "echo not expected >&2; exit 1")
    return define


def call(*command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return done


def submit(slurm, job: int, script: str = "true") -> Path:
    """Submit a job; return the file of its exit status."""
    slurm(
        "sbatch", f'echo "$@" > submitted; for last; do :; done; echo "$last" > script; echo {job}'
    )
    assert call("sbatch", *SUBMIT, f"--wrap={script}").stdout == f"{job}\n"
    record = Path(f".snakemake/slurm/{NAME}/{job}")
    os.utime(record, (time.time() - 300,) * 2)  # not so new that squeue may not list it
    return record


def ask(command: str = "squeue") -> dict[str, str]:
    lines = call(command, *STATES[command]).stdout.splitlines()
    return dict(line.split("|") for line in lines)


@pytest.mark.parametrize("numbers", ["7;main", "12\\n7"])
def test_a_site_may_print_more_than_the_number_of_a_job(slurm, numbers):
    # The plugin looks for one number, and takes "submission failed" for an error.
    lines = rf"printf 'Welcome, 2 new mails\n--> host/a ... OK\n{numbers}\n'"
    slurm("sbatch", rf"{lines}; printf 'mails: submission failed \344\n' >&2")
    done = call("sbatch", *SUBMIT, "--wrap=true")
    assert (done.stdout, done.stderr) == ("7\n", "")
    assert (Path(".snakemake/slurm") / NAME / "7").exists()


@pytest.mark.parametrize("status", [0, 3])
def test_a_job_writes_its_exit_status(slurm, status):
    record = submit(slurm, 7, f'echo "it\'s $0"; exit {status}')
    assert record.read_text() == ""
    script = Path("script").read_text().removeprefix("--wrap=")
    # In a shell of its own, as the plugin's command is.
    script = script.replace("exit ", "(exit ", 1).replace("\nstatus", ")\nstatus", 1)
    for _ in range(2):  # as when Slurm starts it again
        done = subprocess.run(["sh", "-c", script], env={**os.environ, "SLURM_JOB_ID": "7"})
        assert done.returncode == status
        assert record.read_text() == f"{status}\n"


@pytest.mark.parametrize("command", ["squeue", "sacct"])
@pytest.mark.parametrize(
    ("listed", "status", "expected"),
    [
        ("RUNNING", "", "RUNNING"),
        ("COMPLETED", "", "COMPLETED"),  # the status could not be written
        ("CANCELLED", "", "CANCELLED"),
        ("PENDING", "143", "PENDING"),  # Slurm will start it again
        ("PREEMPTED", "", "FAILED"),  # and does not start it again
        ("NODE_FAIL", "", "FAILED"),
        ("PENDING|JobHeldUser", "", "PENDING"),  # its user will release it
        ("PENDING|launch failed requeued held", "", "FAILED"),
        ("SPECIAL_EXIT|job requeued in special exit state", "", "FAILED"),
        ("PENDING|Priority|main", "", "PENDING"),
        ("PENDING|PartitionTimeLimit|main", "", "FAILED"),
        ("PENDING|PartitionTimeLimit|short,long", "", "PENDING"),  # it may start in the other
        ("PENDING|QOSMaxJobsPerUserLimit|main", "", "PENDING"),
        ("RUNNING|PartitionTimeLimit|main", "", "RUNNING"),
        ("RESV_DEL_HOLD|Reservation course was deleted|a,b", "", "FAILED"),
        ("REQUEUE_HOLD|job requeued in held state|main", "", "REQUEUE_HOLD"),  # by its user
        (None, "", "FAILED"),  # killed, and forgotten
        (None, "1", "FAILED"),
        (None, "0", "COMPLETED"),
    ],
)
def test_every_job_has_a_state(slurm, command, listed, status, expected):
    record = submit(slurm, 7)
    if status:
        record.write_text(status)
    slurm("squeue", f"echo '7|{listed}'" if listed else "true")
    slurm("scancel", "true")
    assert ask(command) == {"7": expected}
    record.write_text(status)
    if listed is None and not status:
        expected = "RUNNING"  # the site may keep squeue's answers for a while
    assert ask(command) == {"7": expected}


@pytest.mark.parametrize(
    ("reason", "setting"),
    [
        ("PartitionTimeLimit", "runtime"),
        ("QOSMaxWallDurationPerJobLimit", "runtime"),
        ("AssocMaxCpuMinutesPerJobLimit", "runtime"),
        ("QOSMaxMemoryPerJob", "mem_mb"),
        ("AssocMaxGRESPerJob", "gres"),
        ("QOSMinGRES", "gres"),
        ("InvalidAccount", "slurm_account"),
        ("InvalidQOS", "qos"),
        ("BadConstraints", "default-resources and set-resources"),
        ("PartitionNodeLimit", "default-resources and set-resources"),
        ("DependencyNeverSatisfied", "default-resources and set-resources"),
        ("Reservation LunchTime was deleted", "slurm-reservation"),
    ],
)
@pytest.mark.parametrize("rules", [("evaluate", "train"), ("evaluate",)])
def test_a_job_that_never_starts_is_cancelled_and_not_resubmitted(slurm, reason, setting, rules):
    tasks = [(rule, "a", "3") for rule in rules]
    submit(slurm, 7, f"snakemake --target-jobs {' '.join(f'{r}:run=a,seed=3' for r in rules)}")
    state = "RESV_DEL_HOLD" if "deleted" in reason else "PENDING"
    slurm("squeue", f"echo '7|{state}|{reason}|main'")
    slurm("scancel", 'echo "$@" >> cancelled')
    retries = Retries(tasks)
    assert retries.count(tasks, 2) == 2
    assert ask() == {"7": "FAILED"}
    assert Path("cancelled").read_text() == "7\n"
    log = Path(log_path(rules[-1], "a", "seed3")).read_text()
    why = f"{reason}: it never starts; change {setting} in slurm/config.yaml\n"
    assert log.endswith(f" job 7: {why}")
    # Shown also where no log can be written.
    assert Path(f".snakemake/slurm/{NAME}/waiting").read_text() == f"job 7 is cancelled: {why}"
    assert retries.count(tasks, 2) == 0


@pytest.mark.parametrize("why", ["PENDING|PartitionTimeLimit|main", "SPECIAL_EXIT|x"])
def test_a_job_that_cannot_be_cancelled_has_not_failed_yet(slurm, why):
    submit(slurm, 7)
    slurm("squeue", f"echo '7|{why}'")
    assert ask() == {"7": "PENDING"}
    slurm("scancel", "true")
    assert ask() == {"7": "FAILED"}


def test_each_unusual_reason_to_wait_is_recorded_once(slurm):
    submit(slurm, 7)
    lines = [
        "7|PENDING|Priority|main",
        "8|PENDING|PartitionDown|main",
        "9|PENDING|PartitionDown|main",
    ]
    lines += ["10|PENDING|ReqNodeNotAvail, UnavailableNodes:n1|main", "11|RUNNING|None|main"]
    lines += ["12|SUSPENDED|None|main"]
    slurm("squeue", "".join(f"echo '{line}';" for line in lines))
    for _ in range(2):
        assert set(ask().values()) == {"PENDING", "RUNNING", "SUSPENDED"}
        recorded = Path(f".snakemake/slurm/{NAME}/waiting").read_text()
        assert recorded.splitlines() == [
            "job 8 waits: PartitionDown",
            "job 10 waits: ReqNodeNotAvail",
            "job 12 waits: SUSPENDED",
        ]


@pytest.mark.parametrize("status", ["143", ""])
def test_a_failed_job_that_does_not_end_is_named(slurm, status):
    record = submit(slurm, 7)
    record.write_text(status)
    slurm("squeue", "echo '7|COMPLETING|None|main'")
    waiting = Path(f".snakemake/slurm/{NAME}/waiting")
    for age in 10, 90, 90:
        os.utime(record, (time.time() - age,) * 2)
        assert ask() == {"7": "COMPLETING"}
        assert waiting.exists() == (age == 90)
    assert waiting.read_text() == "job 7 waits: COMPLETING\n"
    record.write_text("0\n")
    assert ask() == {"7": "COMPLETED"}


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("echo '7|RUNNING|None|main'", "RUNNING"),
        ("echo slurm_load_jobs error: Invalid job id specified >&2; exit 1", "FAILED"),
        ("echo '7|RUNNING|None|main'; echo Invalid job id specified >&2; exit 1", "RUNNING"),
        ("echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1", "RUNNING"),
        ("true", "FAILED"),
    ],
)
def test_a_job_that_is_unknown_by_name_is_asked_for_by_number(slurm, script, state):
    submit(slurm, 7)
    submit(slurm, 8).write_text("0\n")
    slurm("squeue", f'case "$*" in *--jobs*) echo "$@" > asked; {script};; esac')
    assert ask() == {"7": state, "8": "COMPLETED"}
    assert Path("asked").read_text().endswith("--jobs 7\n")


@pytest.mark.parametrize("script", ["exit 1", "echo '7|FAILED'; echo no answer >&2; exit 1"])
def test_while_slurm_does_not_answer_only_success_is_known(slurm, script):
    slurm("squeue", script)
    submit(slurm, 7).write_text("1\n")
    submit(slurm, 8).write_text("0\n")
    submit(slurm, 9)
    for _ in range(2):
        assert ask() == {"7": "RUNNING", "8": "COMPLETED", "9": "RUNNING"}
    assert Path(f".snakemake/slurm/{NAME}/waiting").read_text() == (
        "the states of running jobs are unknown: no answer\n"
    )


def test_a_slow_slurm_answers_in_the_time_that_the_plugin_waits(slurm):
    submit(slurm, 7).write_text("1\n")
    submit(slurm, 8)
    submit(slurm, 9)
    slurm(
        "squeue",
        "case \"$*\" in *--jobs*) sleep 1000;; *) echo '7|FAILED\n9|PENDING|BadConstraints';; esac",
    )
    slurm("scancel", "touch asked; sleep 1000")
    program = f"import sys; sys.path.insert(0, {str(COMMANDS.parent)!r}); import states as s\n"
    program += f"s.SECONDS_FOR_ALL = 2; sys.exit(s.report_states({NAME!r}))"
    started = time.monotonic()
    states = call(sys.executable, "-c", program).stdout.splitlines()
    assert time.monotonic() - started < 30
    assert sorted(states) == ["7|FAILED", "8|RUNNING", "9|PENDING"]
    assert not Path("asked").exists()


def test_other_calls_go_to_slurm(slurm):
    slurm("squeue", 'echo "theirs $@"')
    assert call("squeue", "--me").stdout == "theirs --me\n"
    slurm("sbatch", 'echo "theirs $@"; exit 5')
    assert call("sbatch", "script", code=5).stdout == "theirs script\n"


@pytest.mark.parametrize("command", ["sinfo", "sacctmgr", "sshare"])
def test_without_an_answer_on_partitions_and_accounts_sbatch_decides(slurm, command):
    slurm(command, "echo half; echo Unable to contact slurm controller >&2; exit 1")
    assert call(command, "-x").stdout == ""
    slurm(command, 'echo "theirs $@"')
    assert call(command, "-x").stdout == "theirs -x\n"


def test_nobody_waits_for_the_reason_why_a_job_failed(slurm):
    slurm("sacct", 'echo "theirs $@"')
    assert call("sacct", "-j", "7.0", "-n").stdout == "theirs -j 7.0 -n\n"
    slurm("sacct", "sleep 1000")
    started = time.monotonic()
    assert call("sacct", "-j", "7.0", "-n").stdout == ""
    assert time.monotonic() - started < 30


def test_a_command_that_cannot_be_executed_is_missing(slurm, monkeypatch):
    slurm("sacct", "true", mode=0o644)
    folders = (str(COMMANDS), str(Path(sys.executable).parent), "programs")
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    assert "sacct: not found" in call("sacct", "-nu", "me", code=127).stderr


@pytest.mark.parametrize(
    ("reason", "queue", "code"),
    [
        ("QOSMaxSubmitJobPerUserLimit", "echo 3 main", 0),
        ("Unable to contact slurm controller (connect failure)", "exit 1", 0),
        ("Socket timed out on send/recv operation", "true", 0),
        ("Slurm backup controller in standby mode", "exit 1", 0),
        ("Slurm temporarily unable to accept job, sleeping and retrying", "exit 1", 0),
        ("Batch job submission failed: Resource temporarily unavailable", "exit 1", 0),
        ("Batch job submission failed: Protocol authentication error", "exit 1", 0),
        ("Required partition not available (inactive or drain)", "true", 0),
        ("Could not establish a configuration source", "exit 1", 0),
        (LIMIT, "true", 1),  # without a job of this user, waiting does not help
        ("sbatch: error: invalid partition specified: x", "true", 1),
    ],
)
def test_a_submission_waits_where_that_helps_and_else_fails_at_once(slurm, reason, queue, code):
    slurm("squeue", queue)
    slurm("sbatch", f"[ -e tried ] && echo 7 && exit; touch tried; echo '{reason}' >&2; exit 1")
    done = call("sbatch", *SUBMIT, "--wrap=true", code=code)
    assert done.stdout == ("" if code else "7\n")
    assert done.stderr == f"{reason}\n" or not code
    waiting = Path(f".snakemake/slurm/{NAME}/waiting")
    assert waiting.exists() == (code == 0)
    if code == 0:
        (line,) = waiting.read_text().splitlines()
        assert line.startswith("submissions wait: ")
        assert line.removeprefix("submissions wait: ").partition(";")[0].partition(":")[0] in reason
        assert ("`jobs:` in slurm/config.yaml" in line) == ("Limit" in reason)


def test_each_reason_why_submissions_wait_is_recorded_once(slurm):
    limits = ["QOSMaxSubmitJobPerUserLimit"] * 2 + ["AssocGrpSubmitJobsLimit", "7"]
    slurm("squeue", "echo 3 main")
    tries = f"set -- {' '.join(limits)}; shift $(cat tries 2>/dev/null | wc -l)"
    slurm("sbatch", f"{tries}; echo >> tries; [ $1 = 7 ] && echo 7 && exit; echo $1 >&2; exit 1")
    assert call("sbatch", *SUBMIT, "--wrap=true").stdout == "7\n"
    lines = Path(f".snakemake/slurm/{NAME}/waiting").read_text().splitlines()
    assert [line.split(": ")[1] for line in lines] == limits[1:3]


def test_records_that_cannot_be_written_are_one_line(slurm):
    Path(".snakemake").mkdir()
    Path(".snakemake/slurm").touch()
    (line,) = call("sbatch", *SUBMIT, "--wrap=true", code=1).stderr.splitlines()
    assert line.startswith("sbatch: ")
    assert ".snakemake/slurm" in line


def test_a_job_that_slurm_accepted_without_an_answer_is_not_submitted_again(slurm):
    Path(f".snakemake/slurm/{NAME}").mkdir(parents=True)
    Path(f".snakemake/slurm/{NAME}/9").touch()  # it has begun
    slurm("sbatch", f"{KEEP_COMMENT}; echo x >> tried; {UNHEARD}")
    # As before Slurm 20.11.
    once = (
        "case $* in *--me*) exit 1;; esac; [ -e asked ] || { touch asked; echo away >&2; exit 1; }"
    )
    # Another process submitted an equal job at the same time, and has not heard of it yet either.
    slurm("squeue", f"{once}; echo '8|rule_a 0123'; echo \"9|$(cat comment)\"")
    submitted = call("sbatch", *SUBMIT, "--wrap=true")
    assert submitted.stdout == "9\n"
    assert Path("tried").read_text() == "x\n"
    assert Path(f".snakemake/slurm/{NAME}/waiting").read_text() == (
        "a job may have been submitted; squeue is asked again: away\n"
    )


def test_the_number_that_sbatch_did_not_print_is_that_of_the_mark(slurm):
    slurm("sbatch", f"{KEEP_COMMENT}; echo thank you")
    slurm("squeue", 'echo "9|$(cat comment)"')
    assert call("sbatch", *SUBMIT, "--wrap=true").stdout == "9\n"
    slurm("squeue", "true")
    assert call("sbatch", *SUBMIT, "--wrap=true").stdout == "thank you\n"


@pytest.mark.parametrize("submits", [True, False])
def test_after_an_interrupt_nothing_is_submitted(slurm, submits):
    if submits:
        submit(slurm, 7)
        Path("submitted").unlink()
    slurm("scancel", 'echo "$@" > cancelled')
    call("scancel", "--name", NAME)
    assert Path("cancelled").read_text() == f"--name {NAME}\n"
    assert "interrupted" in call("sbatch", *SUBMIT, "--wrap=true", code=130).stderr
    assert not Path("submitted").exists()


def test_a_job_that_is_submitted_during_an_interrupt_is_cancelled(slurm):
    slurm("scancel", 'echo "$@" > cancelled')
    slurm("sbatch", f"touch .snakemake/slurm/{NAME}/interrupted; echo 7")
    call("sbatch", *SUBMIT, "--wrap=true")
    assert Path("cancelled").read_text() == "7\n"
    slurm("scancel", "echo no answer >&2; exit 1")
    Path(f".snakemake/slurm/{NAME}/interrupted").unlink()
    assert call("sbatch", *SUBMIT, "--wrap=true", code=1).stderr == (
        "job 7 was not cancelled: no answer\n"
    )


def test_jobs_are_cancelled_even_if_that_cannot_be_recorded(slurm):
    Path(".snakemake").mkdir()
    Path(".snakemake/slurm").touch()
    slurm("scancel", 'echo "$@" > cancelled')
    call("scancel", "--name", NAME)
    assert Path("cancelled").read_text() == f"--name {NAME}\n"


@contextmanager
def start(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a group of its own; continue when sbatch has accepted its job."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test that runs in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not Path("tried").exists():
            time.sleep(0.05)
        yield process
        process.communicate(timeout=30)
    finally:
        process.kill()


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_job_whose_submission_was_interrupted_is_cancelled(slurm, number, is_recorded):
    before = "true" if is_recorded else "rm -r .snakemake/slurm; touch .snakemake/slurm"
    slurm("sbatch", f"{before}; touch tried; sleep 2; echo 7")  # a busy controller answers late
    slurm("scancel", 'echo "$@" > cancelled')
    with start("sbatch", *SUBMIT, "--wrap=true") as process:
        os.killpg(process.pid, number)
    assert Path("cancelled").read_text() == "7\n"
    if is_recorded:
        call("sbatch", *SUBMIT, "--wrap=true", code=130)


def test_an_interrupt_before_a_submission_is_one_line(slurm, monkeypatch, in_folder):
    monkeypatch.setenv("PYTHONPATH", str(in_folder))
    slow = "import pathlib, time; pathlib.Path('tried').touch(); time.sleep(30)"
    Path("shlex.py").write_text(slow)  # which is imported
    with start("sbatch", *SUBMIT, "--wrap=true") as process:
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate(timeout=30)
    assert message == "sbatch: Snakemake was interrupted\n"


def test_a_call_that_ignores_hangups_goes_on_submitting(slurm):
    slurm("sbatch", "touch tried; sleep 1; echo 7")
    with start("nohup", "sbatch", *SUBMIT, "--wrap=true") as process:
        os.killpg(process.pid, signal.SIGHUP)
    call("sbatch", *SUBMIT, "--wrap=true")


@pytest.mark.parametrize("squeue", ['echo "7|$(cat comment)"', "exit 1"])
def test_after_an_interrupt_nobody_waits_for_an_sbatch_that_hangs(slurm, squeue):
    slurm("sbatch", f"{KEEP_COMMENT}; touch tried; sleep 1000; true")
    slurm("squeue", squeue)
    slurm("scancel", 'echo "$@" > cancelled')
    impatient = (
        f"import sys; sys.path.insert(0, {str(COMMANDS.parent)!r}); import submission as s\n"
    )
    impatient += "s.SECONDS_TO_ANSWER = 2; s.SECONDS_BETWEEN_TRIES = 0.1\n"
    impatient += "sys.exit(s.submit(sys.argv[1:]))"
    waiting = Path(f".snakemake/slurm/{NAME}/waiting")
    with start(sys.executable, "-c", impatient, *SUBMIT, "--wrap=true") as process:
        while not waiting.exists():
            time.sleep(0.05)
        time.sleep(2)
        assert process.poll() is None  # without an interrupt, it waits
        assert waiting.read_text() == "submissions wait: sbatch: no answer within 2 s\n"
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate(timeout=30)
    if squeue == "exit 1":
        assert f"when Slurm answers, call scancel --name {NAME}" in message
    else:
        assert Path("cancelled").read_text() == "7\n"


@pytest.mark.parametrize("number", [None, *SIGNALS])
def test_a_job_that_was_accepted_without_an_answer_is_cancelled_after_an_interrupt(slurm, number):
    slurm("sbatch", f"{KEEP_COMMENT}; touch tried; {UNHEARD}")
    slurm("squeue", 'echo "7|$(cat comment)"')
    slurm("scancel", 'echo "$@" > cancelled')
    with start("sbatch", *SUBMIT, "--wrap=true") as process:
        time.sleep(0.5)  # it has read the answer
        if number:
            os.killpg(process.pid, number)
        else:
            Path(f".snakemake/slurm/{NAME}/interrupted").touch()
    assert Path("cancelled").read_text() == "7\n"


def test_a_submission_ends_when_snakemake_has_been_killed(slurm):
    slurm("squeue", "echo 3 main")
    slurm("sbatch", f"touch tried; echo '{LIMIT}' >&2; exit 1")
    command = ["sbatch", *SUBMIT, "--wrap=true"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while not Path("tried").exists():
        time.sleep(0.05)
    process.stdout.close()
    assert process.wait(timeout=30) != 0


def test_records_of_long_ago_are_removed(slurm):
    ages = {"old": (31, 31), "recent": (29, 31), "in use": (31, 29)}  # days, of folder and file
    for name, days in ages.items():
        folder = Path(".snakemake/slurm", name)
        folder.mkdir(parents=True)
        (folder / "7").touch()
        for path, age in zip((folder, folder / "7"), days, strict=True):
            os.utime(path, (0, time.time() - age * 24 * 3600))
    gone = Path(".snakemake/slurm/gone")
    gone.symlink_to("nowhere")  # as if another submission had just removed it
    Path(".snakemake/slurm", NAME).mkdir()  # with the sign of a call, see hw2core/slurm.py
    Path(".snakemake/slurm", NAME, "call").touch()
    submit(slurm, 8)
    kept = {path.name for path in gone.parent.iterdir()}
    assert kept == {"recent", "in use", "gone", NAME}
