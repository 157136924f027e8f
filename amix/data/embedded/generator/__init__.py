"""Writes the embedded tasks: word lists, sentence frames, and the command that makes the CSV files again."""
