# One training: a run and a seed -> its result, and the weights of the epoch validation chose.


rule train:
    input:
        # Changed data are seen by their hash, not by their time.
        data=ancient(artifacts.manifest_path(STUDY.data.folder)),
        stale=stale_notice,
    output:
        result=artifacts.result_path("{run}", "{seed}"),
        weights=artifacts.weights_path("{run}", "{seed}"),
    log:
        artifacts.log_path("train", "{run}", "seed{seed}"),
    threads: 2
    resources:
        gpu_percent=gpu_percent_of,
    params:
        spec=lambda wildcards: STUDY.runs[wildcards.run].to_json(),
        code=lambda wildcards: staleness.code_hash(STUDY.runs[wildcards.run]),
    shell:
        # exec: a cluster's signals reach the training itself.
        "exec {PYTHON:q} {SCRIPTS:q}/train.py --spec {params.spec:q} --seed {wildcards.seed}"
        " --data {input.data:q} --result {output.result:q} --weights {output.weights:q}"
        " --threads {threads} --log {log:q}"
