"""Makes trained models lighter: fewer hinges, shared curves, native activations."""
