# The study from configuration to report. What is trained, and why, stands in config.yaml.
#
#   snakemake                       everything: results, tables, figures, report
#   snakemake results/exp1_4        the runs of one experiment, and its figures
#   snakemake results/exp1_1_L2_K32 one run
#   snakemake figures | report      all figures; the report
#   snakemake -n TARGET             what would be done; `python workflow_scripts/why_stale.py`: why
#   snakemake --profile slurm ...   the same, as jobs of a Slurm cluster


configfile: "config.yaml"


include: "rules/common.smk"


localrules:
    all,
    figures,
    report,
    tables,
    prepare_data,
    experiment_figures,
    study_figures,
    written_report,


rule all:
    input:
        # Named, or one that was deleted would not be missed while its table is there.
        ALL_RESULTS,
        artifacts.SUMMARY_TABLE,
        artifacts.EPOCHS_TABLE,
        ALL_FIGURES,
        artifacts.REPORT,
        artifacts.REPORT_PDF,


rule figures:
    input:
        ALL_FIGURES,


rule report:
    input:
        artifacts.REPORT,
        artifacts.REPORT_PDF,


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/targets.smk"
