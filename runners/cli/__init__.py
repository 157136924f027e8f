"""The command line: python -m runners."""
