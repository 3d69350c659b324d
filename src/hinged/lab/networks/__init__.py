"""The networks that experiments train, and the activations that they compare."""
