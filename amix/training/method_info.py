"""What is said about a method beside what it does: where it comes from, what it costs, what can be asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RECIPE_GRID: Mapping[str, tuple[float, ...]] = {"lr": (0.5, 1.0, 2.0), "epochs": (1.0, 2.0, 3.0)}
"""Factors on the suite's recipe that tuning tries; an absolute learning rate would fit one encoder only."""


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """A method's citation, cost, limits and search space; it stands in the class, as `info`.

    A family's info is written once, and its members change what differs: `info = replace(LoRA.info, paper=...)`.
    """

    paper: str
    """Citation: authors, venue and year."""
    year: int
    """Of the first paper."""
    kind: str
    """Family in tables; the name of its folder in baselines/."""
    parity: str = ""
    """Agreement with official code: `matched: what`, `departs: why`, or `no official code`, and what was checked."""
    cases: tuple[str, ...] = ()
    """Patterns of the names of the official numbers that it is held to; tables say the largest difference."""
    passes: float = 1.0
    """Forward and backward passes of an update, relative to plain finetuning's; of a run: Method.relative_passes."""
    whole_passes: bool = True
    """Whether every pass goes through the whole model with a whole batch.

    Where not, a run counts more passes than Method.relative_passes says, which goes by what they cost.
    """
    null: Mapping[str, Any] | None = None
    """Settings at which the method must equal plain finetuning (tested); None where there are none."""
    regression: bool = True
    """Whether it is defined for tasks whose label is a number."""
    needs_language_model: bool = False
    """Whether it needs the head of masked language modelling that an encoder was pretrained with.

    Such a method cannot run on every encoder, so that `all` in a suite leaves it out.
    """
    plain_checkpoint: bool = True
    """Whether Method.export gives a plain Hugging Face model.

    Where not, it gives an amix.models.with_addition.Extended, and what is saved says how to load it.
    """
    trains_by_steps: bool = True
    """Whether it makes gradient steps."""
    steps_on_task_loss: bool = True
    """Whether these lower the task's own loss."""
    splits_batches: bool = True
    """Whether processes may share a batch, each of them seeing its own examples only.

    Not where the examples of a batch meet, are looked at one by one, or get noise of their own.
    """
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values of its settings that tuning tries."""
    recipe_grid: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: RECIPE_GRID)
    """Factors on the suite's recipe that tuning tries with them."""
    toy_settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings with which it learns the tests' toy task on tiny random encoders, where its defaults suit real ones."""
    toy_epochs: int | None = None
    """Epochs it needs there, where five are too few: it leaves the encoder's matrices as they are, random."""
