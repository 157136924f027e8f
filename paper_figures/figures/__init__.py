"""One file per figure, named after it; files that start with an underscore are shared by several."""
