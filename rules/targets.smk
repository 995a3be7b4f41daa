# Defines the targets results/<run> and results/<experiment>.

for _name, _experiment in STUDY.experiments.items():
    _targets = {
        run: pipeline.list_results(p for p in _experiment.pairs() if p[0] == run)
        for run in _experiment.runs
    }
    _targets[_name] = [*results_of(_name), *figures_of(_name)]
    for _target, _files in _targets.items():

        rule:
            name:
                f"results/{_target}"
            input:
                _files,
            localrule: True
