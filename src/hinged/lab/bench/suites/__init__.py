"""The benchmarks: one file for each command of `hinged bench`."""
