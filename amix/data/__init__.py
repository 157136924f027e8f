"""From a task to batches: rows read and checked, low-resource subsets, tokenised splits, and the metrics."""
