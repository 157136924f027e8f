"""From one file of people's own texts to an answer, a model and predictions."""
