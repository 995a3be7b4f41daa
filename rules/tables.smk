# All results of the study -> one row a training, and one row an epoch.


rule tables:
    input:
        ALL_RESULTS,
    output:
        summary=artifacts.SUMMARY_TABLE,
        epochs=artifacts.EPOCHS_TABLE,
    log:
        artifacts.log_path("tables"),
    params:
        # A function: Snakemake would take words in braces for its own.
        experiments=lambda wildcards: ALL_OUTLINES,
        code=hash_code("hw2core.analysis.tables"),
    shell:
        "exec {PYTHON:q} {SCRIPTS:q}/make_tables.py --experiments {params.experiments:q}"
        " --summary {output.summary:q} --epochs {output.epochs:q} --log {log:q}"
