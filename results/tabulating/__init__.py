"""Tables: one file per table, their collection, and their place in README."""
