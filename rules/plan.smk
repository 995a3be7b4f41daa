# Checks before the first job: refuses unknown targets, and runs smaller than the results they would
# replace; logs what will be trained and about how long that takes.

import atexit

from snakemake.jobs import Job
from snakemake.logging import logger
from snakemake.persistence import NO_PARAMS_CHANGE, ParamsChange
from snakemake.settings.types import RerunTrigger

from hw2core.progress import Terminal
from hw2core.analysis.report_files import check_report_files, read_baselines
from hw2core.runs import plan

TRAINING = ("train", "share_result")  # rules whose first output is a result
WHOLE = (*TRAINING, "evaluate", "prepare_data")
TAKE_TARGETS = ("targets", "forcerun", "until", "omit_from")  # options of Snakemake


TERMINAL = Terminal(STUDY)
SAYS_ALL = workflow.output_settings.verbose or workflow.output_settings.dryrun
if workflow.is_main_process and not SAYS_ALL:
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(TERMINAL)


def find_unknown_targets():
    settings = workflow.dag_settings
    return [
        target
        for option in TAKE_TARGETS
        for target in getattr(settings, option)
        if not workflow.is_rule(target)
        and not any(rule.is_producer(target) for rule in workflow.rules)
    ]


def list_named_targets():
    return [rule.name for rule in workflow.rules if not rule.has_wildcards()]


def describe_training(job):
    cores = workflow.resource_settings.cores or 1
    percent = job.resources.get("gpu_percent", 0) / max(1, len(GPUS))
    share = max(min(1, job.threads / cores), percent / 100)
    return plan.Training(job.wildcards.run, int(job.wildcards.seed), job.threads, share)


def executor_name():
    return getattr(workflow.executor_plugin, "name", "")


def trains_on_cluster(jobs):
    # A dry run has its own executor, but only jobs for a cluster have a runtime.
    return not workflow.local_exec or any(job.resources.get("runtime") for job in jobs)


def check_plan():
    planned = list(workflow.dag.needrun_jobs())
    plan.refuse_no_threads((job.rule.name, job.threads) for job in planned)
    if executor_name() == "slurm":
        submitted = [job for job in planned if not job.is_local]
        slurm.check_resources((job.rule.name, job.resources) for job in submitted)
        runs = [job for job in planned if job.rule.name == "train"]
        plan.refuse_no_limit(job.resources.get("runtime") for job in runs)
        plan.refuse_no_gpu(job.resources for job in runs)
    pending = [describe_training(job) for job in planned if job.rule.name == "train"]
    TERMINAL.planned = [(run, seed) for run, seed, *_ in pending]
    if pending:
        line = plan.describe_plan(
            STUDY,
            pending,
            has_gpu=bool(GPUS),
            on_cluster=trains_on_cluster(planned),
            status=plan.format_status_command(
                CONFIG_FILES,
                workflow.config_settings.config_args,
                checkout=workflow.basedir,
                start=START,
            ),
        )
        logger.info(line)
        if workflow.dryrun:
            # Again after the jobs, which may be many: people look at the end.
            atexit.register(print, line, file=sys.stderr)
    try:
        # Otherwise only the jobs that read them, after all training, would find out.
        read_baselines(Path(BASELINES))
        if any(job.rule.name == "written_report" for job in planned):
            check_report_files(SOURCES)
        plan.refuse_loss(
            STUDY, (job.output[0] for job in planned if job.rule.name in TRAINING)
        )
        PLANNER.check_jobs(planned)
    except UserError as error:
        if not workflow.dryrun:
            raise
        logger.warning(str(error))


def forces_training(run, seed):
    settings = workflow.dag_settings
    forced = {*settings.forcerun, *(settings.targets if settings.forcetargets else ())}
    weights = paths.weights_path(run, seed)
    if weights in settings.targets and not os.path.exists(weights):
        return True
    return not forced.isdisjoint({"train", paths.result_path(run, seed), weights})


def mark_forced(jobs):
    for job in jobs:
        if job.rule.name == "train":
            forced = workflow.dag.reason(job).forced
            pipeline.mark_forced(job.output.result, forced=forced)


def trust_files(records):
    # Jobs write a file of a run whole or not at all, and of images the manifest last; the planner
    # knows whether they are current, also after Snakemake was killed. So they need no backup from
    # update(), and no mark while a job is at work.
    async def find_incomplete(job, find=records.incomplete):
        return [] if job.rule.name in WHOLE else await find(job)

    # A manifest says what its images are made from; records of older versions had a param of it.
    def find_changed_params(job, file=None, find=records.params_changed):
        if job.rule.name == "prepare_data":
            return NO_PARAMS_CHANGE
        change = find(job, file)
        if "changed" not in job.input.keys() or change:
            return change
        if made.was_made_with(job.output, records._params(job)):
            return NO_PARAMS_CHANGE
        return ParamsChange(only_new={"not recorded as made"}, files=set(job.output))

    images = {}

    def record_started(job, *args, start=records.started):
        start(job, *args)
        if "changed" in job.input.keys():
            images[job] = made.describe_images(DATA)

    async def record_finished(job, finish=records.finished):
        await finish(job)
        if "changed" not in job.input.keys() or workflow.touch:
            return
        if pipeline.hash_files(job.input.results) != job.params.results:
            logger.warning(
                f"{job.output[0]}: results changed while it was made; call again"
            )
            return
        # Others, such as a notebook, may have prepared images meanwhile.
        read = images.get(job, set()) & made.describe_images(DATA)
        made.record_made(job.output, read, records._params(job))

    # Without metadata of its own and of its version, Snakemake does not ask for the params.
    def has_metadata(job, find=records.has_metadata):
        return "changed" in job.input.keys() or find(job)

    def has_outdated_metadata(job, find=records.has_outdated_metadata):
        return "changed" not in job.input.keys() and find(job)

    records.incomplete = find_incomplete
    records.params_changed = find_changed_params
    records.started = record_started
    records.finished = record_finished
    records.has_metadata = has_metadata
    records.has_outdated_metadata = has_outdated_metadata
    records.backup_output = lambda path: None
    records.restore_output = pipeline.keep_older


async def find_oldest_time(job, find=Job.output_mintime.fget):
    # Snakemake never compares an output whose time is 0, as in archives whose bytes repeat.
    time = await find(job)
    return time if time is None else max(time, 1)


Job.output_mintime = property(find_oldest_time)


def build_dag_with_checks(build=workflow._build_dag):
    # Snakemake has no hook between reading the targets and the first job, and none in a dry run.
    trust_files(workflow.persistence)
    # Without it, as in the profile of a user, figures of other results would count as current.
    workflow.dag_settings.rerun_triggers = {
        *workflow.rerun_triggers,
        RerunTrigger.PARAMS,
    }
    try:
        if executor_name() == "slurm":
            slurm.prepare_slurm(workflow.basedir, [os.getcwd(), workflow.workdir_init])
            slurm.check_settings(workflow.executor_settings)
        # --rulegraph and the like have no settings of execution.
        no_hooks = getattr(workflow.execution_settings, "no_hooks", False)
        if workflow.is_main_process and no_hooks:
            raise UserError(
                "--no-hooks: not supported; jobs need what onstart prepares"
            )
        plan.refuse_unknown(find_unknown_targets(), list_named_targets())
        build()
        for job in workflow.dag.needrun_jobs():
            job.params  # hashes of code, which may be edited before Snakemake asks for them
        if UNREPORTED:
            raise UNREPORTED[0]
        if set(workflow.dag_settings.targets) == {"explore"}:
            # It writes while others train. When Snakemake unlocks, it deletes the locks of all.
            workflow.persistence.lock = workflow.persistence.noop
        if workflow.is_main_process and workflow.executor_plugin is not None:
            check_plan()
    except UserError as error:
        raise WorkflowError(str(error)) from None


def prepare_dag_with_plain_names(*args, prepare=workflow._prepare_dag, **options):
    # As results/exp1_4/ or ./results/exp1_4. Snakemake does so with files, but not with rules.
    settings = workflow.dag_settings
    for option in TAKE_TARGETS:
        names = map(os.path.normpath, getattr(settings, option) or [])
        setattr(settings, option, list(names))
    prepare(*args, **options)


workflow._build_dag = build_dag_with_checks
workflow._prepare_dag = prepare_dag_with_plain_names


onsuccess:
    asked = [
        path
        for job in workflow.dag.targetjobs
        # The rule explore has neither.
        for path in (job.output or job.input or [paths.EXPLORE])
    ]
    if line := plan.describe_outputs(asked, start=START):
        logger.info(line)
