# Trains a run with a seed, and evaluates its weights on the test images.
#
# in   data/<name>/manifest.json; the spec of the run, from config.yaml
# out  results/<run>/seed<k>.json, .safetensors, .test.json
#
# A cluster runs train and evaluate of a run in one job (the group "run"). The content of a file
# decides whether it is made again: a stale file has a notice as input, see hw2core/pipeline.py.
#
# update(): a stale file stays until a job replaces it, and if the job fails.


ruleorder: share_result > train
ruleorder: share_result > evaluate


rule train:
    """Train one run with one seed; keep the weights of the best epoch on validation."""
    input:
        data=images_to_train,
        stale=stale_result,
    output:
        result=update(paths.result_path("{run}", "{seed}")),
        weights=update(paths.weights_path("{run}", "{seed}")),
    log:
        paths.log_path("train", "{run}", "seed{seed}"),
    group:
        "run"
    threads: 2
    resources:
        attempt=lambda wildcards, attempt: attempt,
        gpu_percent=gpu_percent_of,
    params:
        spec=not_compared(lambda wildcards: spec_of(wildcards).to_json()),
        data=not_compared(manifest_of),
        minutes=lambda wildcards, output, resources: resources.get("runtime", 0),
    shell:
        # exec, so that a cluster's signals reach the training process.
        "exec python {CODE:q}/workflow_scripts/train.py --spec {params.spec:q}"
        " --seed {wildcards.seed} --data {params.data:q} --result {output.result:q}"
        " --weights {output.weights:q} --threads {threads} --minutes {params.minutes}"
        " --gpu-percent {resources.gpu_percent} --attempt {resources.attempt} --log {log:q}"


rule evaluate:
    """Evaluate a run's weights on the test images."""
    input:
        data=images_to_evaluate,
        result=result_to_evaluate,
        stale=stale_evaluation,
    output:
        evaluation=update(paths.evaluation_path("{run}", "{seed}")),
    log:
        paths.log_path("evaluate", "{run}", "seed{seed}"),
    group:
        "run"
    threads: 2
    resources:
        gpu_percent=lambda wildcards: gpu_percent_of(wildcards, training=False),
    params:
        # Not an input: a result that was copied without its weights keeps its evaluation.
        weights=not_compared(lambda wildcards: paths.weights_path(*wildcards)),
        data=not_compared(manifest_of),
        num_images=not_compared(lambda wildcards: spec_of(wildcards).data.test),
    shell:
        "exec python {CODE:q}/workflow_scripts/evaluate.py --result {input.result:q}"
        " --weights {params.weights:q} --num-images {params.num_images} --data {params.data:q}"
        " --evaluation {output.evaluation:q} --threads {threads}"
        " --gpu-percent {resources.gpu_percent} --log {log:q}"


rule share_result:
    """Copy a run's result from its twin, which differs in name only."""
    input:
        original=result_to_share,
        stale=stale_twin,
    output:
        result=update("results/{twin}.json"),
        evaluation=update("results/{twin}.test.json"),
    log:
        "logs/share_result/{twin}.log",
    params:
        spec=not_compared(lambda wildcards: STUDY.runs[twin_of(wildcards)[0]].to_json()),
        original=not_compared(lambda wildcards: twin_of(wildcards)[2]),
        seed=not_compared(lambda wildcards: twin_of(wildcards)[1]),
    shell:
        "exec python {CODE:q}/workflow_scripts/share_result.py --spec {params.spec:q}"
        " --original {params.original:q} --seed {params.seed} --log {log:q}"
