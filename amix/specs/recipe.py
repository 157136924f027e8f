"""Recipe: the training settings of a run that do not belong to a method. Imports no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from amix.specs.spec_model import Count, Positive
from amix.specs.suggestions import nearest
from amix.specs.typed_fields import check_fields

Share = Annotated[float, Field(ge=0, lt=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Recipe:
    """How an encoder is finetuned; the defaults are those published for BERT-large by AGWM, Child-Tuning and DPS."""

    lr: Positive = 2e-5
    """Peak learning rate of AdamW, from which it falls linearly to zero."""
    epochs: Count = 3
    """Passes over the training subset."""
    steps: Count | None = None
    """Number of updates; overrides epochs."""
    batch_size: Count = 16
    """Examples per update."""
    warmup_ratio: Share = 0.1
    """Share of all steps in which the learning rate rises."""
    weight_decay: NotNegative = 0.01
    """Weight decay of AdamW; biases and LayerNorms have none."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Largest global gradient norm; infinity disables clipping."""
    max_length: Count = 128
    """Most tokens of an example, including special ones; the rest is cut off."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Decay rates of AdamW's two moments."""
    adam_epsilon: NotNegative = 1e-8
    """Added to the root of AdamW's second moment."""
    processes: Count = 1
    """Number of processes that split each batch of a data-parallel run (amix.training.data_parallel).

    It is a setting because every process has its own dropout masks.
    """
    class_weights: Literal["", "balanced"] = ""
    """`balanced` gives every class the same total weight in the loss, however rare it is."""
    micro_batch: Count | None = None
    """Most examples that go through the model at once; a larger batch is split, and its parts' gradients are added up.

    Batch, mean loss and dropout stay the same (amix.training.micro_batches); memory falls, time rises.
    """

    def __post_init__(self) -> None:
        check_fields(Recipe, {field.name: getattr(self, field.name) for field in fields(self)})

    def with_changes(self, changes: Mapping[str, Any]) -> "Recipe":
        """Return this recipe with some settings replaced.

        Raises:
            ValueError: A setting is unknown (the message suggests the nearest ones), or a value is impossible.
        """
        known = sorted(field.name for field in fields(self))
        unknown = sorted(str(name) for name in changes if name not in known)
        if unknown:
            raise ValueError(f"unknown training setting {', '.join(unknown)}; {nearest(unknown[0], known)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()
        }
        return replace(self, **values)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON types; those added after the first records only if they are used."""
        content = asdict(self) | {"betas": list(self.betas)}
        if self.processes == 1:
            del content["processes"]
        if not self.class_weights:
            del content["class_weights"]
        if self.micro_batch is None:
            del content["micro_batch"]
        return content

    def total_steps(self, n_train: int) -> int:
        """Return the number of updates in one training on n_train examples."""
        return self.steps if self.steps is not None else self.epochs * -(-n_train // self.batch_size)
