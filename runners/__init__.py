"""From a suite file to finished runs: plans, the sweep that carries them out, and the command line."""
