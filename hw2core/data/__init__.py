"""Read or generate images, prepare them on disk, split them and feed them in batches."""
