"""Defines what config.yaml may contain, and expands it into named run specs."""
