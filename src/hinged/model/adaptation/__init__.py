"""Trains only the curves of a model, and saves only the parameters that were trained."""
