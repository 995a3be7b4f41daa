# Prepares the data set once: from its source to arrays.
#
# in   CIFAR-10 in data.root or HW2_DATA, else downloaded; nothing for generated images
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
        # source folder, so changing those must not prepare the data again.
        data=STUDY.data.folder,
        code=hash_code("hw2core.data.datasets"),
    shell:
        "exec python {CODE:q}/workflow_scripts/prepare_data.py --data {DATA:q} --root={ROOT:q}"
        " --manifest {output.manifest:q} --log {log:q}"
