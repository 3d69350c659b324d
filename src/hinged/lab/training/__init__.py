"""The training of one network, with its scores, costs and dead units."""
