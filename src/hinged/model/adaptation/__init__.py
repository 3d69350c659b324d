"""Trains only the curves of a model, and saves only what was trained."""
