"""Fine-tuning a model by its curves: what to train, and saving only that."""
