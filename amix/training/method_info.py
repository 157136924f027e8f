"""MethodInfo: facts about a method, namely its source, cost, limits and search space."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RECIPE_SEARCH_SPACE: Mapping[str, tuple[float, ...]] = {"lr": (0.5, 1.0, 2.0), "epochs": (1.0, 2.0, 3.0)}
"""Factors on the suite's recipe that tuning tries; an absolute learning rate would suit only one encoder."""


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """A method's citation, cost, limits and search space; the class attribute `info`.

    Members of a family derive theirs from the first one's: `info = replace(LoRA.info, paper=...)`.
    """

    paper: str
    """Citation: authors, venue and year."""
    year: int
    """Year of the first paper."""
    kind: str
    """Family in tables; the name of its folder in baselines/."""
    parity: str = ""
    """Agreement with official code: `matched: what`, `departs: why`, or `no official code` and what was checked."""
    cases: tuple[str, ...] = ()
    """Name patterns of the reference cases that tests compare it with; tables report the largest difference."""
    passes: float = 1.0
    """Forward and backward passes of an update, relative to plain finetuning's; for a run: Method.relative_passes."""
    whole_passes: bool = True
    """Whether every pass goes through the whole model with a whole batch.

    If not, a run counts more passes than Method.relative_passes says, which estimates what they cost.
    """
    null: Mapping[str, Any] | None = None
    """Settings with which the method must equal plain finetuning (tested); None if there are none."""
    regression: bool = True
    """Whether it is defined for regression tasks."""
    needs_language_model: bool = False
    """Whether it needs the masked-language-modelling head that an encoder was pretrained with.

    Such a method cannot run on every encoder, so that `all` in a suite leaves it out.
    """
    plain_checkpoint: bool = True
    """Whether Method.export returns a plain Hugging Face model.

    If not, it returns an amix.models.with_addition.EncoderWithAddition, and the saved model says how to load it.
    """
    trains_by_steps: bool = True
    """Whether it takes gradient steps."""
    steps_on_task_loss: bool = True
    """Whether its gradient steps minimise the task's own loss."""
    splits_batches: bool = True
    """Whether processes may share a batch, each of them seeing only its own examples.

    False if the method relates the examples of a batch, treats them one by one, or draws noise for each.
    """
    micro_batches: bool | None = None
    """Whether an update may add up the gradients of parts of its batch (amix.training.micro_batches).

    True if the loss of a batch is the mean of its parts' losses, weighted by their examples, where `Fit` tells a part
    from the whole, and passes outside the loss go through `Fit.part_losses`; False if examples of a batch depend on
    each other. None: True for a method with the task's own loss and a single stage, False for any other.
    """
    reads_padding: bool = False
    """Whether its loss depends on hidden states of padding, which are then computed as well (amix.training.padding)."""
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of its settings that tuning tries."""
    recipe_search_space: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: RECIPE_SEARCH_SPACE)
    """Factors on the suite's recipe that tuning tries with them."""
    toy_settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings with which it learns the tests' toy task on tiny random encoders, if its defaults need real ones.

    `targets` may name layers of several architectures; an encoder gets those that it has.
    """
    toy_epochs: int | None = None
    """Epochs that it needs on the toy task, if five are too few because it keeps the encoder's random matrices."""
