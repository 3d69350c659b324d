"""Studies: a question, the experiments that answer it, and a committed record of the answer."""
