"""Measurements of time, memory and accuracy of the project itself, and of the difficulty of the embedded tasks."""
