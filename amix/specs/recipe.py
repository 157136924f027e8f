"""Recipe: the training settings of a run that do not belong to a method. Imports no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

BALANCED = "balanced"


@dataclass(frozen=True)
class Recipe:
    """How an encoder is finetuned; defaults are the ones published for BERT-large by AGWM, Child-Tuning and DPS.

    lr is the peak learning rate of AdamW; warm-up takes warmup_ratio of all steps, then lr falls linearly to zero.
    weight_decay leaves out biases and LayerNorms. clip_norm is the largest global gradient norm. max_length counts
    tokens, special ones included. steps, where given, replaces epochs. processes: how many split each batch of a
    data-parallel run (amix.training.data_parallel); it counts as a setting because every process has dropout masks of
    its own. class_weights: `balanced` gives every class the same weight in the loss, however rare it is.
    """

    lr: float = 2e-5
    epochs: int = 3
    steps: int | None = None
    batch_size: int = 16
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    max_length: int = 128
    betas: tuple[float, float] = (0.9, 0.999)
    adam_epsilon: float = 1e-8
    processes: int = 1
    class_weights: str = ""

    def __post_init__(self) -> None:
        positive = ("lr", "epochs", "batch_size", "max_length", "processes")
        wrong = [f"{name}={getattr(self, name)}" for name in positive if getattr(self, name) <= 0]
        if wrong:
            raise ValueError(f"the recipe needs positive values: {', '.join(wrong)}")
        if not 0 <= self.warmup_ratio < 1:
            raise ValueError(f"warmup_ratio must lie in [0, 1): {self.warmup_ratio}")
        if self.class_weights not in ("", BALANCED):
            raise ValueError(f"class_weights is {BALANCED}, or left out: {self.class_weights!r}")

    def with_changes(self, changes: Mapping[str, Any]) -> "Recipe":
        """This recipe with some settings replaced; an unknown setting is a ValueError that lists the known ones."""
        known = {field.name for field in fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise ValueError(f"unknown training setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
        }
        return replace(self, **values)

    def as_dict(self) -> dict[str, Any]:
        """All settings as plain JSON types; those that came later than the first records only where they are used."""
        content = asdict(self) | {"betas": list(self.betas)}
        if self.processes == 1:
            del content["processes"]
        if not self.class_weights:
            del content["class_weights"]
        return content

    def total_steps(self, n_train: int) -> int:
        """Updates of one training on n_train examples."""
        return self.steps if self.steps is not None else self.epochs * -(-n_train // self.batch_size)
