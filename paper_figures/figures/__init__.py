"""One figure, one file, named as the figure; files with an underscore hold what several share."""
