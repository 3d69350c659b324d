"""Trains one network and measures its scores, costs and dead units."""
