"""From records on disk to one checked frame of runs."""
