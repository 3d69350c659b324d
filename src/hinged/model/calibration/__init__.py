"""Moves the hinges of a model to the range of their inputs."""
