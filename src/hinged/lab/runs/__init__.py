"""Training the networks of experiments, in local processes or on a cluster, and saving results."""
