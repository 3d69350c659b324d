"""Where to put hinges: uniform grids, quantiles, and positions with the least loss."""
