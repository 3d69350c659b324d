"""The definition of experiments: settings, functions from the user's files, and environment."""
