"""Running experiments: every trial once, in processes or on a cluster, saved in a folder."""
