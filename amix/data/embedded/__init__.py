"""Four small tasks with English written for this project, so that the suite runs without any download."""
