# Loads the study once and answers the questions that rules ask about it. No rule stands here.

import logging
import os
import re
import sys
from pathlib import Path

# Jobs run the code of this checkout, whatever is installed.
sys.path.insert(0, workflow.basedir)
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [workflow.basedir, os.environ.get("PYTHONPATH")])
)

from snakemake.exceptions import WorkflowError

from hw2core import artifacts, fingerprint, gpu_share, machine, staleness
from hw2core.atomic import WriteError, check_writable
from hw2core.config_file import ConfigError, read_config
from hw2core.data.prepared import PREPARED_FILES
from hw2core.outline import dump_outlines
from hw2core.study import load_study

logging.raiseExceptions = False  # on a full disk each line would come with a traceback

PYTHON = sys.executable
# Relative, so that a checkout may be moved: where these lie is no reason to draw again.
SOURCES = Path(os.path.relpath(workflow.basedir))
SCRIPTS = SOURCES / "workflow_scripts"
STYLE = SOURCES / artifacts.FIGURE_STYLE
TEMPLATE = SOURCES / artifacts.REPORT_TEMPLATE
RECORD = SOURCES / artifacts.PUBLIC_RECORD

CONFIG_FILES = list(dict.fromkeys(map(os.path.relpath, workflow.configfiles)))
try:
    for path in CONFIG_FILES:
        read_config(path)  # Snakemake's own reader lets a key given twice pass
    STUDY = load_study(config, " + ".join(CONFIG_FILES))
except ConfigError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    run="|".join(map(re.escape, STUDY.runs)),
    experiment="|".join(map(re.escape, STUDY.experiments)),
    seed=r"\d+",


def results_of(experiment):
    outline = STUDY.experiments[experiment].outline
    return [artifacts.result_path(*training) for training in outline.list_trainings()]


def outline_of(wildcards):
    return dump_outlines([STUDY.experiments[wildcards.experiment].outline])


def stale_notice(wildcards):
    notice = staleness.write_notice(STUDY.runs[wildcards.run], int(wildcards.seed))
    return [notice] if notice else []


def gpu_percent_of(wildcards):
    run = STUDY.runs[wildcards.run]
    return gpu_share.estimate_percent(run, GPU_MEMORY) if GPU_MEMORY else 0


def show_in_report(paths, category):
    # In Snakemake's own report: the SVG of each figure, with the caption of the written one.
    kinds = sorted((*artifacts.FIGURE_KINDS, *artifacts.STUDY_FIGURES), key=len)
    shown = []
    for path in paths:
        kind = [kind for kind in kinds if Path(path).stem.endswith(kind)][-1]
        caption = f"../report/captions/{kind}.rst"
        labels = {"figure": kind}
        flagged = report(path, caption=caption, category=category, labels=labels)
        shown.append(flagged if path.endswith(".svg") else path)
    return shown


def hash_code(*modules):
    return fingerprint.combine_hashes(fingerprint.hash_modules(modules))


GPU_MEMORY = machine.measure_gpu_memory()
DATA = STUDY.data.model_dump_json()
ROOT = str(STUDY.data.root or "")
ALL_OUTLINES = dump_outlines(STUDY.outlines)
ALL_RESULTS = [path for name in STUDY.experiments for path in results_of(name)]
ALL_FIGURES = [
    path for name in STUDY.experiments for path in artifacts.figure_paths(name)
] + artifacts.study_figure_paths()
REPORT_SOURCES = sorted(
    os.fspath(path)
    for path in TEMPLATE.parent.rglob("*")
    if path.suffix in (".j2", ".rst", ".css", ".typ", ".yaml", ".lua", ".csv")
)

staleness.settle_times(
    results=ALL_RESULTS,
    others=[
        artifacts.manifest_path(STUDY.data.folder),
        *ALL_FIGURES,
        artifacts.SUMMARY_TABLE,
        artifacts.EPOCHS_TABLE,
        STYLE,
        *(path for path in TEMPLATE.parent.rglob("*") if path.is_file()),
    ],
)


onstart:
    try:
        check_writable(
            path for job in workflow.dag.needrun_jobs() for path in job.output
        )
    except WriteError as error:
        raise WorkflowError(str(error)) from None
