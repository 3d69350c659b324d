"""What an experiment is: its settings, its environment, the user's own code."""
