"""Methods that change the recipe: its length, its learning rates, or the weights that it starts from."""
