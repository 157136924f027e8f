"""From one file of a user's own texts to an answer, a model and predictions."""
