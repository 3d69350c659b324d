"""The benchmarks. Each file contains the benchmark of one command of `hinged bench`."""
