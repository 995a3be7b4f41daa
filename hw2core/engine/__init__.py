"""Trains a run, from a checked spec to trained weights: all code that decides its numbers."""
