# From the data set's source to prepared arrays, once.
#
# in   CIFAR-10 under data.root or HW2_DATA, else downloaded; or nothing, for generated images
# out  data/<name>/*.npy, and the manifest with their hashes


rule prepare_data:
    """Prepare the images: arrays, and a manifest with their hashes."""
    output:
        manifest=MANIFEST,
        arrays=[paths.array_path(STUDY.data.folder, file) for file in PREPARED_FILES],
    log:
        paths.log_path("prepare_data", STUDY.data.folder),
    params:
        # Lint asks for DATA and ROOT here, but the arrays depend neither on the split nor on the
        # folder of the source: a change of them must not prepare again.
        data=STUDY.data.folder,
        code=hash_code("hw2core.data.datasets"),
    shell:
        "exec python {CODE:q}/workflow_scripts/prepare_data.py --data {DATA:q} --root={ROOT:q}"
        " --manifest {output.manifest:q} --log {log:q}"
