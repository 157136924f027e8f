"""From a suite file to finished runs: plans, the engine that carries them out, and the command line."""
