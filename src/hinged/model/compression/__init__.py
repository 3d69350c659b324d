"""Makes trained models lighter: fewer hinges, shared curves, and native activations of torch."""
