"""Data: read or generate images, prepare them on disk, split them, feed them in batches."""
