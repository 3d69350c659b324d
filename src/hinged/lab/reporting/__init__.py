"""Turns the results of trials into statistics, tables, pictures and pages."""
