"""Carries out a plan: works out what is left to do or can be reused, and does the rest here or in workers."""
