"""Trains the trials of experiments, in processes or on a cluster, and saves their results."""
