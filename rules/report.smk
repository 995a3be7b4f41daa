# Writes the report from all results and figures, as one HTML file and as PDF.
#
# in   results/*/seed*.json, seed*.test.json; figures/; report/, with the published summary
# out  report/report.html, report/report.pdf


rule written_report:
    """Write the report."""
    input:
        results=ALL_RESULTS,
        figures=ALL_FIGURES,
        changed=changed([paths.REPORT, paths.REPORT_PDF]),
    output:
        paths.REPORT,
        paths.REPORT_PDF,
    log:
        paths.log_path("report"),
    params:
        # A function, because Snakemake would expand braces in a string.
        experiments=lambda wildcards: ALL_EXPERIMENTS,
        results=lambda wildcards: pipeline.hash_files(ALL_RESULTS),
        code=lambda wildcards: hash_code("hw2core.analysis.report"),
        # The style decides the figures in it, whatever their times.
        sources=pipeline.hash_files([*REPORT_SOURCES, STYLE]),
    shell:
        "exec python {CODE:q}/workflow_scripts/make_report.py --experiments {params.experiments:q}"
        " --log {log:q}"
