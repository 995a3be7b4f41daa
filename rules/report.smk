# All results and figures -> the written report, as one HTML file and as PDF.


rule written_report:
    input:
        results=ALL_RESULTS,
        figures=ALL_FIGURES,
        sources=REPORT_SOURCES,
    output:
        artifacts.REPORT,
        artifacts.REPORT_PDF,
    log:
        artifacts.log_path("report"),
    params:
        # A function: Snakemake would take words in braces for its own.
        experiments=lambda wildcards: ALL_OUTLINES,
        code=hash_code("hw2core.analysis.publish"),
    shell:
        "exec {PYTHON:q} {SCRIPTS:q}/make_report.py --experiments {params.experiments:q}"
        " --log {log:q}"
