"""Studies: a question, experiments that answer the question, and a record of their results."""
