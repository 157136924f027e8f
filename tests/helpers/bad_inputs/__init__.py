"""Inputs that must be refused, as data: what lies in a folder, which command reads it, what its message must name."""
