"""Pictures of a model's curves."""
