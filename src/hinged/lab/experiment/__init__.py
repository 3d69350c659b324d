"""The definition of an experiment: its settings, the user's own code and the environment."""
