# Prepares each data set once: from its source to arrays.
#
# in   the original files in data.root or HW2_DATA, else downloaded; nothing for generated images
# out  data/<name>/*.npy, and the manifest with their hashes


rule prepare_data:
    """Prepare the images of a data set: arrays, and a manifest with their hashes."""
    output:
        manifest=paths.manifest_path("{data}"),
        arrays=[paths.array_path("{data}", file) for file in PREPARED_FILES],
    log:
        paths.log_path("prepare_data", "{data}"),
    params:
        # The arrays depend neither on the split nor on the source folder, so changing those must not
        # prepare them again.
        spec=not_compared(lambda wildcards: DATA[wildcards.data].model_dump_json()),
        root=not_compared(lambda wildcards: str(DATA[wildcards.data].root or "")),
        code=hash_code("hw2core.data.datasets"),
    shell:
        "exec python {CODE:q}/workflow_scripts/prepare_data.py --data {params.spec:q}"
        " --root={params.root:q} --manifest {output.manifest:q} --log {log:q}"
