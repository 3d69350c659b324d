"""Draws the curves of a model as a picture or as an animation."""
