"""Where hinges go: uniform grids, quantiles, and refitting a curve to new hinges."""
