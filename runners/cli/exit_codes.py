"""Exit codes of the command line, besides 0, 1 for a single run that went wrong, and 2 for a usage error."""

RUNS_FAILED = 3
"""A sweep ended and some of its runs failed; 2 is an error that was found before anything ran."""
INTERRUPTED = 130
"""Stopped by Ctrl-C or a signal."""
