"""Finds the activations of a model, and replaces them by curves."""
