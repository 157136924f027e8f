"""Methods that make the model's output insensitive to small changes of inputs or weights."""
