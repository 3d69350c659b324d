"""Finds every activation of a model and replaces it by trainable curves."""
