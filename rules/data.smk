# The images, prepared once: arrays, and a manifest that vouches for them.


rule prepare_data:
    output:
        manifest=artifacts.manifest_path(STUDY.data.folder),
        arrays=[
            artifacts.array_path(STUDY.data.folder, file) for file in PREPARED_FILES
        ],
    log:
        artifacts.log_path("prepare_data", STUDY.data.folder),
    params:
        # Splits and the place of the source are no property of the arrays: not compared.
        data=STUDY.data.folder,
        code=hash_code("hw2core.data.sources"),
    shell:
        "exec {PYTHON:q} {SCRIPTS:q}/prepare_data.py --data {DATA:q} --root={ROOT:q}"
        " --manifest {output.manifest:q} --log {log:q}"
