"""Moving the hinges of a model to where its inputs are."""
