"""Statistics, tables, pictures and pages from the results of trainings."""
