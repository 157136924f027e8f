"""The Method contract and its registry, the only training loop, and what both need."""
