"""Constraints on curves, and the closest curve that satisfies them."""
