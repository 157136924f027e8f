"""From the frame to claims: scores per cell, comparisons, claims over tasks, tuning, the summary in words."""
