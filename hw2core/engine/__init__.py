"""Trains a run: all code, from a checked spec to trained weights, that decides its numbers."""
