# All results and figures -> the written report, one HTML file.


rule html_report:
    input:
        results=ALL_RESULTS,
        figures=ALL_FIGURES,
        template=TEMPLATE,
        style=TEMPLATE.with_name("style.css"),
    output:
        artifacts.REPORT,
    log:
        artifacts.log_path("report"),
    params:
        experiments=ALL_OUTLINES,
        code=hash_code("hw2core.analysis.render"),
    shell:
        "exec {PYTHON:q} {SCRIPTS:q}/make_report.py --experiments {params.experiments:q}"
        " --template {input.template:q} --output {output:q} --log {log:q}"
