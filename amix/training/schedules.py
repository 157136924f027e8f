"""The learning-rate schedule of plain finetuning: linear warm-up and decay."""

import torch

from amix.specs.recipe import Recipe


def warmup_steps(recipe: Recipe, total_steps: int) -> int:
    """Return the number of warm-up steps: warmup_ratio of all steps, rounded up; none if there is a single step."""
    if total_steps == 1:  # Its learning rate would be 0, and nothing would be trained.
        return 0
    return -int(-recipe.warmup_ratio * total_steps // 1)


def linear_schedule(optimizer: torch.optim.Optimizer, warmup: int, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Return a schedule that rises linearly over the warm-up and falls linearly to zero at the last step."""
    from transformers import get_linear_schedule_with_warmup  # Takes seconds to import, and plans do not need it.

    return get_linear_schedule_with_warmup(optimizer, warmup, steps)
