"""Training one network and measuring it."""
