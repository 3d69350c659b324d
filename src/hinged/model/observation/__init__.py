"""Collects statistics of a running model, diagnoses its curves, and records them in training."""
