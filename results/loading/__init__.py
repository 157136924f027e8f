"""Reads records from disk into one checked frame of runs."""
