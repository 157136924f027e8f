"""The generator of the embedded tasks: word lists, sentence frames, and the command that writes the CSV files."""
