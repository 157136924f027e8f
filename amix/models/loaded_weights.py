"""Whether a checkpoint filled the body that was built for it; what transformers draws at random is named, not hidden.

The rule: every weight of the body comes from the checkpoint, in its shape, and every weight of the checkpoint's body
finds its place. The head may be new, and with it the pooler that some checkpoints lack. What the checkpoint has beyond
its body (heads of its pretraining or of another task, a pooler that is not used, stored position numbers) is left out,
and so are blocks above those that `layers` keeps.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from amix.specs.encoders import Encoder, EncoderError

if TYPE_CHECKING:
    from torch import nn

UNUSED = re.compile(r"(^|\.)(pooler|position_ids|token_type_ids)(\.|$)")
"""Parts of a checkpoint's body that a model may do without."""
POOLER = re.compile(r"(^|\.)pooler\.")
NAMED_AT_MOST = 3


def refuse_wrong_weights(encoder: Encoder, body: "nn.Module", prefix: str, info: Mapping[str, Any]) -> None:
    """Refuse a body of which a part is not the checkpoint's.

    Args:
        encoder: whose checkpoint it is.
        body: the pretrained part of the model.
        prefix: what its weights' names begin with in the whole model, "" where the body was loaded alone.
        info: what from_pretrained reports with output_loading_info.

    Raises:
        EncoderError: names the weights that are missing, have another shape or have no place.
    """
    parts = {name for name, _ in body.named_children()} | {name for name, _ in body.named_parameters(recurse=False)}

    def in_body(name: str) -> bool:
        return not prefix or name.startswith(f"{prefix}.")

    def inside(name: str) -> str:
        return name.removeprefix(f"{prefix}.") if prefix else name

    missing = [name for name in info["missing_keys"] if in_body(name) and not POOLER.search(name)]
    shapes = [f"{name} {list(stored)} for {list(built)}" for name, stored, built in info["mismatched_keys"]
              if in_body(name)]  # fmt: skip
    # A checkpoint may hold the body alone or under a name, so an unexpected weight is the body's by its first part.
    surplus = [name for name in info["unexpected_keys"] if _bodys(name, parts, body) and not UNUSED.search(name)]
    surplus = [name for name in surplus if not _cut_off(inside(name), encoder.layers)]
    said = [
        f"{_named(names)} {what}"
        for names, what in (
            (missing, "missing, which would start at random"),
            (shapes, "of another shape than config.json asks for"),
            (surplus, "without a place in the model that config.json describes"),
        )
        if names
    ]
    said += [str(message) for message in info.get("error_msgs") or ()]
    if said:
        raise EncoderError(
            f"encoder '{encoder.name}': the weights are not those of this model: {'; '.join(said)}. "
            "Give the config.json and the weights that were saved together"
        )


def _bodys(name: str, parts: set[str], body: "nn.Module") -> bool:
    first, _, rest = name.partition(".")
    return first in parts or (first == getattr(body, "base_model_prefix", None) and bool(rest))


def _cut_off(name: str, layers: int | None) -> bool:
    """Whether this weight lies in a block above the kept ones."""
    number = re.search(r"\.(\d+)\.", name)
    return layers is not None and number is not None and int(number[1]) >= layers


def _named(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - NAMED_AT_MOST} more" if len(ordered) > NAMED_AT_MOST else ""
    return f"{', '.join(ordered[:NAMED_AT_MOST])}{more}"
