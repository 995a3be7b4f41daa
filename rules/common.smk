# Loads the study and defines the paths, inputs and parameters that the rules use.

import logging
import os
import re
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.jobs import GroupJob
from snakemake.logging import logger

from hw2core import gpu_share, gpus, made, pipeline, slurm
from hw2core.code_copy import CodeCopy
from hw2core.config.reading import put_first, read_config, read_configs
from hw2core.config.spec import dump_experiments
from hw2core.config.study import STUDY_FILE, load_study
from hw2core.errors import UserError
from hw2core.io import check_exist, check_places, check_writable
from hw2core.retries import Retries
from hw2core.runs import code_hash, paths

logging.raiseExceptions = False  # on a full disk, each line would print a traceback
pipeline.use_checkout(workflow.basedir, in_job=workflow.remote_exec)

# Compared by content as params. Not inputs: jobs read the copies of these files, so edits must not
# affect a call. Relative, so that moving a checkout does not redraw its figures.
SOURCES = Path(os.path.relpath(workflow.basedir))
STYLE = str(SOURCES / paths.FIGURE_STYLE)
BASELINES = str(SOURCES / paths.BASELINES)
CAPTION = "../report/captions/figure.rst"

CONFIG_FILES = put_first(
    CONFIG, map(os.path.relpath, workflow.config_settings.configfiles)
)
try:
    read_configs(CONFIG_FILES)  # Snakemake's own reader accepts duplicate keys
    given = ["--config"] if workflow.config_settings.config_args else []
    STUDY = load_study(config, " + ".join([*CONFIG_FILES, *given]))
    # A run is reduced if it is smaller than in config.yaml, whatever is merged over that file. Jobs
    # and later stages parse a copy of it, since it may have been edited.
    copied = CONFIG.endswith(paths.COPIED_CONFIG)
    asked_file = STUDY_FILE if copied else CONFIG
    asked = read_config(asked_file) | {"study": {}}  # all of its experiments
    STUDY = STUDY.compare_sizes(load_study(asked, str(asked_file)))
    PLANNER = pipeline.Planner(STUDY)
except UserError as error:
    raise WorkflowError(str(error)) from None

CODE_COPY = CodeCopy(workflow.basedir, config)
# Lint asks for it as a param, but Snakemake compares params: any edit would rerun everything.
CODE = CODE_COPY.folder
# Run and seed as in a path -> run, seed, and the run that is trained in its place. A run with a
# current result needs no copy and is left out.
TWINS = {
    paths.run_seed(run, seed): (run, seed, original)
    for (run, seed), original in STUDY.find_twins().items()
    if PLANNER.trains(run, seed)
}
# By the name of its prepared folder: splits of one data set share it.
DATA = {spec.data.folder: spec.data for spec in STUDY.runs.values()}


def match_names(names):
    return "|".join(map(re.escape, names)) or "(?!)"  # without names, nothing


wildcard_constraints:
    run=match_names(STUDY.runs),
    twin=match_names(TWINS),
    experiment=match_names(STUDY.experiments),
    data=match_names(DATA),
    seed="0|[1-9][0-9]{0,9}",


def spec_of(wildcards):
    return STUDY.runs[wildcards.run]


def manifest_of(wildcards):
    return paths.manifest_path(spec_of(wildcards).data.folder)


def twin_of(wildcards):
    return TWINS[wildcards.twin]


def results_of(experiment):
    return pipeline.list_results(STUDY.experiments[experiment].pairs())


def figures_of(experiment):
    return paths.figure_paths(experiment, STUDY.experiments[experiment].settings)


def images_of(wildcards, needed):
    # Only of what is made anyway: changed images are detected by their hash, not by their time. Not
    # ancient: Snakemake overlooks what else makes a job stale if it makes such an input first.
    return pipeline.list_prepared(spec_of(wildcards).data.folder) if needed else []


def images_to_train(wildcards):
    return images_of(wildcards, PLANNER.trains(wildcards.run, int(wildcards.seed)))


def images_to_evaluate(wildcards):
    return images_of(
        wildcards, PLANNER.needs_test_images(wildcards.run, int(wildcards.seed))
    )


def result_to_evaluate(wildcards):
    # A current evaluation is judged by its content, not by its modification time.
    pair = wildcards.run, int(wildcards.seed)
    made = PLANNER.evaluates(*pair) or forces_training(*pair)
    return (str if made else ancient)(paths.result_path(*pair))


UNREPORTED = []  # errors of functions, which Snakemake would show with a traceback


def show(list_notices, *args):
    try:
        notices = list_notices(*args)
    except UserError as error:
        UNREPORTED.append(error)
        return []
    # Snakemake lists the folder of notices once, perhaps before these were written.
    for notice in notices:
        workflow.iocache.exists_local[notice] = True
    return notices


def stale_result(wildcards):
    return show(PLANNER.list_notices, wildcards.run, int(wildcards.seed))


def stale_evaluation(wildcards):
    return show(PLANNER.list_evaluation_notices, wildcards.run, int(wildcards.seed))


def stale_images(wildcards):
    return show(pipeline.list_image_notices, DATA[wildcards.data])


def result_to_share(wildcards):
    _, seed, original = twin_of(wildcards)
    return pipeline.list_results([(original, seed)])


def changed(files, images=()):
    # What is made from results is made again unless it is as a job here left it.
    return lambda wildcards: show(made.list_changes, files, images)


def stale_twin(wildcards):
    run, seed, _ = twin_of(wildcards)
    return show(PLANNER.list_notices, run, seed)


def not_compared(function):
    # Snakemake does not compare a param with its last value if its function takes `output`. The
    # planner compares the specs of runs itself and knows which differences matter.
    return lambda wildcards, output: function(wildcards)


def gpu_percent_of(wildcards, training=True):
    if not GPU_MEMORY:
        return 0
    spec = spec_of(wildcards)
    return gpu_share.estimate_gpu_percent(spec, GPU_MEMORY, training=training)


def experiment_of(wildcards):
    return dump_experiments([STUDY.experiments[wildcards.experiment]])


def show_in_report(figures, category):
    # Snakemake's own report shows the SVG of each figure.
    shown = []
    for path in figures:
        labels = {"figure": Path(path).stem}
        flagged = report(path, caption=CAPTION, category=category, labels=labels)
        shown.append(flagged if path.endswith(".svg") else path)
    return shown


@cache
def hash_code(module):
    # That of the start, though Snakemake asks again when inputs are made: jobs run a copy of it.
    try:
        return code_hash.combine_hashes(code_hash.hash_modules([module]))
    except UserError as error:
        UNREPORTED.append(error)


ALL_EXPERIMENTS = dump_experiments(STUDY.experiments.values())
ALL_RESULTS = [path for name in STUDY.experiments for path in results_of(name)]
ALL_FIGURES = [path for name in STUDY.experiments for path in figures_of(name)]
ALL_FIGURES += paths.study_figure_paths()
EXPLORE_SOURCES = [str(SOURCES / path) for path in paths.EXPLORE_SOURCES]
REPORT_SOURCES = list(map(os.fspath, paths.list_report_sources(SOURCES)))
try:
    # A cluster job gets its GPU from the cluster.
    GPUS = [] if workflow.remote_exec else gpus.find_gpus()
    # Here, because Snakemake itself fails where something is in the way.
    files = [*ALL_RESULTS, *ALL_FIGURES, *map(paths.manifest_path, DATA)]
    files += [paths.SUMMARY_TABLE, paths.REPORT, paths.log_path("tables")]
    check_places([*files, f"{paths.CODE_COPIES}/x"])
    # Otherwise only the jobs that read them, after all training, would find out.
    check_exist([STYLE, BASELINES, *REPORT_SOURCES, *EXPLORE_SOURCES])
except UserError as error:
    raise WorkflowError(str(error)) from None
GPU_MEMORY = gpus.measure_gpu_memory(GPUS)
if "gpu_percent" not in workflow.global_resources:
    # As many runs at a time as fit: each requests a percentage of a GPU.
    workflow.register_resource("gpu_percent", 100 * max(1, len(GPUS)))


def tasks_of(jobs):
    return [(job.rule.name, *job.wildcards) for job in jobs if job.rule.group]


onstart:
    try:
        planned = list(workflow.dag.needrun_jobs())
        check_writable(path for job in planned for path in [*job.output, *job.log])
        # Otherwise Snakemake records figures with the digests of results that this call replaces.
        workflow.persistence._params.cache_clear()
        CODE_COPY.write()
        mark_forced(planned)  # here, when this call has locked the folder
        pipeline.use_checkout(str(CODE.resolve()))
        # A cluster job starts Snakemake again, which then reads the copy.
        executor = workflow.scheduler._executor
        executor.snakefile = str(CODE.resolve() / "Snakefile")
        slurm.watch_plugin(executor, logger.warning)
        workflow.config_settings.configfiles = []
        retries = Retries(tasks_of(planned))
        # For cluster jobs: Snakemake itself would count every attempt as a retry.
        GroupJob.restart_times = property(
            lambda group: retries.count(
                tasks_of(group.jobs), max(job.restart_times for job in group.jobs)
            )
        )
        pipeline.settle_times(
            path for job in workflow.dag.jobs for path in [*job.input, *job.output]
        )
    except UserError as error:
        raise WorkflowError(str(error)) from None
