"""The HTML page of a suite."""
