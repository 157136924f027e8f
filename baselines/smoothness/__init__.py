"""Methods that ask the model to answer alike for slightly different inputs or weights."""
