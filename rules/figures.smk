# The results -> figures, as SVG and PNG: of each experiment, and over the whole study.


rule experiment_figures:
    input:
        results=lambda wildcards: results_of(wildcards.experiment),
        style=STYLE,
    output:
        show_in_report(artifacts.figure_paths("{experiment}"), "{experiment}"),
    log:
        artifacts.log_path("figures", "{experiment}"),
    params:
        experiments=outline_of,
        code=hash_code("hw2core.analysis.experiment_figures"),
    shell:
        "exec {PYTHON:q} {SCRIPTS:q}/make_figures.py --only experiments"
        " --experiments {params.experiments:q} --log {log:q}"


rule study_figures:
    input:
        results=ALL_RESULTS,
        style=STYLE,
        record=RECORD,
    output:
        show_in_report(artifacts.study_figure_paths(), "The whole study"),
    log:
        artifacts.log_path("figures", "study"),
    params:
        experiments=lambda wildcards: ALL_OUTLINES,
        # Shown where it is there; results that came without their images are drawn without them.
        data=artifacts.manifest_path(STUDY.data.folder),
        code=hash_code("hw2core.analysis.figures"),
    shell:
        "exec {PYTHON:q} {SCRIPTS:q}/make_figures.py --only study --data {params.data:q}"
        " --experiments {params.experiments:q} --log {log:q}"
