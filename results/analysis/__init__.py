"""From the frame to what is claimed: scores per cell, comparisons, claims, tuning, the summary in words."""
