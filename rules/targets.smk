# Runs and experiments by their names: results/<run>, results/<experiment>. Each twice, because
# completion in a shell adds a slash to the name of a folder that is there.

for _name, _experiment in STUDY.experiments.items():
    _trainings = {run: [] for run in _experiment.outline.runs}
    for _run, _seed in _experiment.outline.list_trainings():
        _trainings[_run].append(artifacts.result_path(_run, _seed))
    _targets = {
        **_trainings,
        _name: [*results_of(_name), *artifacts.figure_paths(_name)],
    }
    for _target, _files in _targets.items():
        for _slash in ("", "/"):

            rule:
                name:
                    f"results/{_target}{_slash}"
                input:
                    _files,
                localrule: True
