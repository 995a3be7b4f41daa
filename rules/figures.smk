# Draws figures from results, as SVG and PNG: for each experiment and for the whole study.
#
# in   results/*/seed*.json, seed*.test.json; the figure style; accuracies of public solutions;
#      the prepared images, where they are
# out  figures/<experiment>_<kind>.svg, .png; figures/study_<kind>.svg, .png


ruleorder: setting_figures > experiment_figures


rule experiment_figures:
    """Draw the figures of one experiment."""
    input:
        results=lambda wildcards: results_of(wildcards.experiment),
        changed=lambda wildcards: show(
            made.list_changes, figures_of(wildcards.experiment)
        ),
    output:
        show_in_report(paths.figure_paths("{experiment}"), "{experiment}"),
    log:
        paths.log_path("figures", "{experiment}"),
    params:
        experiments=experiment_of,
        results=lambda wildcards: pipeline.hash_files(results_of(wildcards.experiment)),
        code=lambda wildcards: hash_code("hw2core.analysis.figures"),
        style=pipeline.hash_files([STYLE]),
    shell:
        "exec python {CODE:q}/workflow_scripts/make_figures.py --only experiments"
        " --experiments {params.experiments:q} --log {log:q}"


# The same, and a figure more, where the grids of an experiment vary settings.
use rule experiment_figures as setting_figures with:
    output:
        show_in_report(
            paths.figure_paths("{experiment}", settings=True), "{experiment}"
        ),
    wildcard_constraints:
        experiment=match_names(e.name for e in STUDY.experiments.values() if e.settings),


rule study_figures:
    """Draw the figures of the whole study."""
    input:
        results=ALL_RESULTS,
        changed=changed(paths.study_figure_paths(), DATA),
    output:
        show_in_report(paths.study_figure_paths(), "The whole study"),
    log:
        paths.log_path("figures", "study"),
    params:
        experiments=lambda wildcards: ALL_EXPERIMENTS,
        results=lambda wildcards: pipeline.hash_files(ALL_RESULTS),
        code=lambda wildcards: hash_code("hw2core.analysis.figures"),
        sources=pipeline.hash_files([STYLE, BASELINES]),
    shell:
        "exec python {CODE:q}/workflow_scripts/make_figures.py --only study"
        " --experiments {params.experiments:q} --log {log:q}"
