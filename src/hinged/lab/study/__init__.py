"""Studies: a question, the grid of experiments that answers it, and the record of the answer."""
