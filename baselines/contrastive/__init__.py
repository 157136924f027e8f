"""Methods that first train the sentence embedding by comparing texts, then fit a classifier to it."""
