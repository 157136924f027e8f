"""Which matrices of a model are mixed."""

import re
from collections.abc import Sequence

from torch import nn


def block_linears(model: nn.Module, patterns: Sequence[str] | None = None) -> dict[str, nn.Linear]:
    """Select linear modules of a model; shared modules and weights count once.

    Args:
        model: The model.
        patterns: Regular expressions; a linear is selected if one of them matches part of its name. None: the linears
            in the transformer blocks of the pretrained part, and its pooler. The task head, and a pooler that belongs
            to it (DeBERTa-v2, RoBERTa, ELECTRA), are new and have no pretrained weights.

    Returns:
        The modules by name.

    Raises:
        ValueError: No linear is selected, or a pattern matches none; the message lists those there are.
    """
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if patterns is None:
        selected = _pretrained_linears(model, linears)
    else:
        matches = {pattern: [name for name in linears if re.search(pattern, name)] for pattern in patterns}
        unmatched = [pattern for pattern, names in matches.items() if not names]
        selected = [] if unmatched else [name for name in linears if any(name in names for names in matches.values())]
    name_of_weight: dict[int, str] = {}
    for name in selected:
        name_of_weight.setdefault(id(linears[name].weight), name)
    if not name_of_weight:
        wanted = "in the transformer blocks or the pooler" if patterns is None else f"matching {' or '.join(unmatched)}"
        raise ValueError(
            f"{type(model).__name__} has no nn.Linear {wanted}. Its linears: {sorted(linears)[:12] or 'none'}. "
            "Name the modules by regular expressions."
        )
    return {name: linears[name] for name in name_of_weight.values()}


def _pretrained_linears(model: nn.Module, linears: dict[str, nn.Linear]) -> list[str]:
    """Names of the linears in the blocks (module lists) and the pooler of the pretrained part."""
    body = getattr(model, "base_model", model)
    inside = {id(module) for module in body.modules()}
    in_blocks = {
        id(module) for blocks in body.modules() if isinstance(blocks, nn.ModuleList) for module in blocks.modules()
    }
    return [
        name
        for name, linear in linears.items()
        if id(linear) in in_blocks or (id(linear) in inside and "pooler" in name.split("."))
    ]
