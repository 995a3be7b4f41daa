"""Handles the files of a run: paths, results, checkpoints, logs, and whether they are current."""
