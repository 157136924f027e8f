"""The Method contract and its registry, the training loop that all methods share, and what both need."""
