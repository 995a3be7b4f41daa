# Writes two tables from all results: one with a row per run and seed, one with a row per epoch.
#
# in   results/*/seed*.json, seed*.test.json
# out  results/summary.csv, results/epochs.csv


rule tables:
    """Write the tables of runs and of epochs."""
    input:
        results=ALL_RESULTS,
        changed=changed([paths.SUMMARY_TABLE, paths.EPOCHS_TABLE]),
    output:
        paths.SUMMARY_TABLE,
        paths.EPOCHS_TABLE,
    log:
        paths.log_path("tables"),
    params:
        # A function, because Snakemake would expand braces in a string.
        experiments=lambda wildcards: ALL_EXPERIMENTS,
        # Detects results that were copied with an old modification time.
        results=lambda wildcards: pipeline.hash_files(ALL_RESULTS),
        code=lambda wildcards: hash_code("hw2core.analysis.tables"),
    shell:
        "exec python {CODE:q}/workflow_scripts/make_tables.py --experiments {params.experiments:q}"
        " --log {log:q}"
