"""Finding every activation of a model and putting a trainable curve in its place."""
