"""The commands of `hinged` and their options; only these files print."""
