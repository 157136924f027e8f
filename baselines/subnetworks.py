"""Kept for a moment while files move."""

from baselines.selection import bernoulli_mask, entry_of_rank, pooled_quantile

__all__ = ["bernoulli_mask", "entry_of_rank", "pooled_quantile"]
