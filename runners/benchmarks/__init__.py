"""Measurements of time and memory, and of how hard the embedded tasks are."""
