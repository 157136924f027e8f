"""Methods that change the recipe: its length, its learning rates, or its initial weights."""
