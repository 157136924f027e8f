"""Methods that finetune as usual and evaluate an average of weights."""
