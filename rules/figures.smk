# The results of one experiment -> its figures, as SVG and PNG.


rule experiment_figures:
    input:
        results=lambda wildcards: results_of(wildcards.experiment),
        style=STYLE,
    output:
        artifacts.figure_paths("{experiment}"),
    log:
        artifacts.log_path("figures", "{experiment}"),
    params:
        experiment=outline_of,
        code=hash_code("hw2core.analysis.figures"),
    shell:
        "exec {PYTHON:q} {SCRIPTS:q}/make_figures.py --experiment {params.experiment:q}"
        " --log {log:q}"
