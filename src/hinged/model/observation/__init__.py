"""Looking at a model while it runs: statistics of inputs and outputs, diagnosis, warnings."""
