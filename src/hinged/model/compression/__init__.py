"""Lighter models after training: fewer hinges, shared curves, native activations."""
