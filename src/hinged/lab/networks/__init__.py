"""The networks that experiments train, and the activations they compare."""
