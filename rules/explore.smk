# From all results to one page to look around in; and the same page of what is finished by now.
#
# in   results/*/seed*.json, seed*.test.json; prepared images and checkpoints, where there are any
# out  report/explore.html


rule explore_page:
    """Write the explore page of all results."""
    input:
        results=ALL_RESULTS,
        changed=changed([paths.EXPLORE], DATA),
    output:
        paths.EXPLORE,
    log:
        paths.log_path("explore_page"),
    params:
        # A function: Snakemake would take words in braces for its own.
        experiments=lambda wildcards: ALL_EXPERIMENTS,
        results=lambda wildcards: pipeline.hash_files(ALL_RESULTS),
        code=lambda wildcards: hash_code("hw2core.analysis.explore"),
        sources=pipeline.hash_files(EXPLORE_SOURCES),
    shell:
        "exec python {CODE:q}/workflow_scripts/make_explore.py --log {log:q}"


# No input and no output: it trains nothing, and is no obstacle to a call that trains.
rule explore:
    """Write the explore page of the results that are there, and of checkpoints."""
    log:
        paths.log_path("explore"),
    shell:
        "exec python {CODE:q}/workflow_scripts/make_explore.py --log {log:q}"
