"""Results as statistics, tables, pictures and pages."""
