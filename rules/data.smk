# Prepares each data set once: from its source to arrays.
#
# in   the original files in data.root or HW2_DATA, else downloaded; nothing for generated images
# out  data/<name>/*.npy, and the manifest with their hashes
#
# The manifest decides whether they are made again: not a param, because they depend neither on the
# split nor on the folder of the source. update(): they stay until new ones have been read.


rule prepare_data:
    """Prepare the images of a data set: arrays, and a manifest with their hashes."""
    input:
        stale=stale_images,
    output:
        manifest=update(paths.manifest_path("{data}")),
        arrays=update(pipeline.list_prepared("{data}")[1:]),
    log:
        paths.log_path("prepare_data", "{data}"),
    params:
        spec=not_compared(lambda wildcards: DATA[wildcards.data].model_dump_json()),
        root=not_compared(lambda wildcards: str(DATA[wildcards.data].root or "")),
    shell:
        "exec python {CODE:q}/workflow_scripts/prepare_data.py --data {params.spec:q}"
        " --root={params.root:q} --manifest {output.manifest:q} --log {log:q}"
