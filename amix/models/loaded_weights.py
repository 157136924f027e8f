"""Checking that a checkpoint filled the body built for it, so that no weight starts at random unnoticed.

The rule: every weight of the body comes from the checkpoint, in the same shape, and every weight of the checkpoint's
body is used. The head may be new, and with it the pooler that some checkpoints lack. Other weights of the checkpoint
(heads of its pretraining or of another task, an unused pooler, stored position ids) are ignored, as are blocks above
those that `layers` keeps.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from amix.specs.encoders import Encoder, EncoderError

if TYPE_CHECKING:
    from torch import nn

UNUSED = re.compile(r"(^|\.)(pooler|position_ids|token_type_ids)(\.|$)")
"""Parts of a checkpoint's body that a model need not use."""
POOLER = re.compile(r"(^|\.)pooler\.")
NAMED_AT_MOST = 3


def refuse_wrong_weights(encoder: Encoder, body: "nn.Module", prefix: str, info: Mapping[str, Any]) -> None:
    """Refuse a body that was not completely loaded from its checkpoint.

    Args:
        encoder: The encoder of the checkpoint.
        body: The pretrained part of the model.
        prefix: Prefix of the body's weights in the whole model; "" if the body was loaded alone.
        info: The report of from_pretrained with output_loading_info.

    Raises:
        EncoderError: Weights are missing, have another shape or have no place; the message names them.
    """
    parts = {name for name, _ in body.named_children()} | {name for name, _ in body.named_parameters(recurse=False)}

    def in_body(name: str) -> bool:
        return not prefix or name.startswith(f"{prefix}.")

    def inside(name: str) -> str:
        return name.removeprefix(f"{prefix}.") if prefix else name

    missing = [name for name in info["missing_keys"] if in_body(name) and not POOLER.search(name)]
    shapes = [f"{name} {list(stored)} for {list(built)}" for name, stored, built in info["mismatched_keys"]
              if in_body(name)]  # fmt: skip
    # A checkpoint may contain the body with or without a prefix, so the first part of a name shows what is the body's.
    surplus = [name for name in info["unexpected_keys"] if _bodys(name, parts, body) and not UNUSED.search(name)]
    surplus = [name for name in surplus if not _cut_off(inside(name), encoder.layers)]
    faults = [
        f"{_named(names)} {what}"
        for names, what in (
            (missing, "missing, which would start at random"),
            (shapes, "of another shape than config.json specifies"),
            (surplus, "without a place in the model that config.json describes"),
        )
        if names
    ]
    faults += [str(message) for message in info.get("error_msgs") or ()]
    if faults:
        raise EncoderError(
            f"encoder '{encoder.name}': the weights are not those of this model: {'; '.join(faults)}. "
            "Give the config.json and the weights that were saved together"
        )


def _bodys(name: str, parts: set[str], body: "nn.Module") -> bool:
    first, _, rest = name.partition(".")
    return first in parts or (first == getattr(body, "base_model_prefix", None) and bool(rest))


def _cut_off(name: str, layers: int | None) -> bool:
    """Whether this weight is in a block above the kept ones."""
    number = re.search(r"\.(\d+)\.", name)
    return layers is not None and number is not None and int(number[1]) >= layers


def _named(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - NAMED_AT_MOST} more" if len(ordered) > NAMED_AT_MOST else ""
    return f"{', '.join(ordered[:NAMED_AT_MOST])}{more}"
