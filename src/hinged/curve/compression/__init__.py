"""Simpler curves: fewer hinges, fewer different curves, and native activations of PyTorch."""
