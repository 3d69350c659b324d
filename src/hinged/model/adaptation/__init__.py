"""Freezes all of a model but its curves, and saves only the parameters that were trained."""
