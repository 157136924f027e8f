"""The search as the released code runs it with Betty 0.2.0, its bugs included: the variant for comparisons."""

import torch

from amix.bilevel import BilevelStep
from amix.hypergradient import Hypergradient, HypergradientOptions, Loss

AS_RUN = HypergradientOptions(
    estimator="central", point="after", preconditioner="adam", xi=1.0, radius=0.01, masks="independent"
)
"""Finite differences around W', Adam preconditioner without the learning rate, a dropout mask for every pass."""


@torch.no_grad()
def leave_displaced(step: BilevelStep, found: Hypergradient) -> None:
    """Leave the lower parameters at W - e v, where the second perturbed pass put them.

    Betty 0.2.0, hypergradient/darts.py:68, adds the way back out of place and drops the result. The displacement has
    norm 0.01 at every iteration and points down the upper loss: the held-out part leaks into the task weights.
    """
    assert found.displacement is not None
    torch._foreach_sub_(list(step.mixup.lower.values()), list(found.displacement.values()))
    step.mixup.write()


def second_lower_step(step: BilevelStep, loss: Loss, first_iteration: bool, clip_norm: float) -> torch.Tensor:
    """The second update of an iteration, on the same batch; returns its loss.

    Betty 0.2.0, problems/implicit_problem.py:51-54, caches references where a copy was meant, so that rolling back
    restores nothing and the iteration steps twice. At iteration 1 the cached optimizer state is still empty, and
    restoring it wipes Adam's moments.
    """
    if first_iteration:
        step.lower.state.clear()
    value = loss()
    value.backward()
    step.mixup.pull_back()
    torch.nn.utils.clip_grad_norm_(step.mixup.lower.values(), clip_norm)
    step.lower.step()
    step.lower.zero_grad()
    step.mixup.write()
    return value.detach()
