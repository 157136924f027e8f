"""From a task to batches: reading and checking rows, low-resource subsets, tokenised splits; and the metrics."""
