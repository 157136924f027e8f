"""From run records to claims: frame, statistics, tables. Imports no torch."""
