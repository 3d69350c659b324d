"""Placement of hinges: uniform grids, quantiles of the inputs, and the positions with the least
loss."""
