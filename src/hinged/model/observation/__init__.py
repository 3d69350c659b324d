"""Collects statistics from a running model, diagnoses its curves and records them in training."""
