"""The floor: classifiers fitted in closed form or to convergence, with no finetuning at all."""
