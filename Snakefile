# Runs the study, from configuration to report. config.yaml says what is trained, and why.
#
#   snakemake                       everything: results, tables, figures, report
#   snakemake results/exp1_4        the runs of one experiment, and its figures
#   snakemake results/exp1_1_L2_K32 one run
#   snakemake figures | report      all figures; the report
#   snakemake explore               the explore page, of what is finished by now
#   snakemake -n TARGET             what would be done, and about how long it takes
#   snakemake --profile quick       a quick look: all runs on few images, into output/quick
#   snakemake --profile slurm ...   the same, as jobs on a Slurm cluster
#
# Rules use shell: because with script:, Snakemake would treat a fresh clone or a touched script as
# changed code and train again. `snakemake --lint` also asks for a conda environment or container
# per rule; there is none because `make` sets up one locked environment for the whole project.

import os
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.9")

sys.path.insert(0, workflow.basedir)  # this checkout's code, not an installed copy

from hw2core.config.reading import read_config
from hw2core.errors import UserError
from hw2core.runs.images import fix_root
from hw2core.runs.paths import COPIED_CONFIG
from hw2core.runs.plan import find_start

START = find_start(workflow.overwrite_workdir)
fix_root(START)

# A cluster job parses a copy of this file, which comes with the configuration. A call in another
# folder (--directory) uses the checkout's config.yaml, unless it has one there.
PLACES = [os.path.join(workflow.basedir, COPIED_CONFIG), "config.yaml"]
PLACES.append(os.path.join(workflow.basedir, "config.yaml"))
CONFIG = next(filter(os.path.exists, PLACES), "config.yaml")
# Checked first: Snakemake can run code in a configuration file, and its errors name no line.
try:
    if os.path.exists(CONFIG):
        read_config(CONFIG)
except UserError as error:
    raise WorkflowError(str(error)) from None


configfile: CONFIG


include: "rules/common.smk"


localrules:
    all,
    figures,
    report,
    tables,
    prepare_data,
    share_result,
    experiment_figures,
    study_figures,
    written_report,
    explore,
    explore_page,


rule all:
    """Make everything: results, tables, figures, the report and the explore page."""
    input:
        # Listed, so that a deleted result is made again even if the tables exist.
        ALL_RESULTS,
        paths.SUMMARY_TABLE,
        paths.EPOCHS_TABLE,
        ALL_FIGURES,
        paths.REPORT,
        paths.REPORT_PDF,
        paths.EXPLORE,


rule figures:
    """Draw all figures."""
    input:
        ALL_FIGURES,


rule report:
    """Write the report, and the explore page that it links to."""
    input:
        paths.REPORT,
        paths.REPORT_PDF,
        paths.EXPLORE,


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/explore.smk"
include: "rules/targets.smk"
include: "rules/plan.smk"
