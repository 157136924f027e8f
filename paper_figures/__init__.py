"""Figures and the HTML page of a suite, made from its records. Imports no torch."""
