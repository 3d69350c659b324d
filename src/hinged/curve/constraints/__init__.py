"""Constraints on curves, and the projection of a curve onto a constraint."""
