"""Finding the parts of a Hugging Face classifier without knowing its architecture."""

from collections.abc import Iterable, Iterator

import torch
from torch import nn


class ArchitectureError(TypeError):
    """A model lacks a part that a method needs."""


def backbone(model: nn.Module) -> nn.Module:
    """Return the pretrained body; everything outside it is the head.

    Raises:
        ArchitectureError: There is no body below the head.
    """
    body = getattr(model, "base_model", None)
    if not isinstance(body, nn.Module) or body is model:
        raise ArchitectureError(f"{type(model).__name__} has no pretrained body below its head")
    return body


def head_names(model: nn.Module) -> set[str]:
    """Return the names of the head's parameters, which the pretrained checkpoint does not determine."""
    body = {id(parameter) for parameter in backbone(model).parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) not in body}


def head_modules(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules of the head that own parameters."""
    body = {id(module) for module in backbone(model).modules()}
    for module in model.modules():
        if id(module) not in body and list(module.parameters(recurse=False)):
            yield module


def blocks(model: nn.Module) -> list[nn.Module]:
    """Return the Transformer blocks from bottom to top (ALBERT's shared groups count once).

    Raises:
        ArchitectureError: The model has no list of blocks.
    """
    lists = [module for module in backbone(model).modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise ArchitectureError(f"{type(model).__name__} has no list of Transformer blocks")
    return list(lists[0])


def pretrained_pooler(model: nn.Module) -> list[nn.Module]:
    """Return the pooler of the pretrained body; empty if there is none or if it belongs to the new head."""
    pooler = getattr(backbone(model), "pooler", None)
    return [pooler] if isinstance(pooler, nn.Module) else []


def embeddings(model: nn.Module) -> nn.Module:
    """Return the embedding of the input tokens."""
    embedding = backbone(model).get_input_embeddings()  # type: ignore[operator]
    assert isinstance(embedding, nn.Module)
    return embedding


def parameter_names(model: nn.Module, modules: list[nn.Module]) -> set[str]:
    """Return the names, within the model, of all parameters in these modules."""
    inside = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in inside}


def undecayed_names(model: nn.Module) -> set[str]:
    """Return the names of parameters without weight decay: biases, and everything in normalisation layers."""
    norms = [module for module in model.modules() if "norm" in type(module).__name__.lower()]
    biases = {name for name, _ in model.named_parameters() if name.rsplit(".", 1)[-1] == "bias"}
    return biases | parameter_names(model, norms)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Return two groups of the trainable parameters: with weight decay, and without."""
    undecayed = undecayed_names(model)
    groups: list[dict[str, object]] = []
    for decay, exempt in ((weight_decay, False), (0.0, True)):
        members = [p for name, p in model.named_parameters() if p.requires_grad and (name in undecayed) == exempt]
        if members:
            groups.append({"params": members, "weight_decay": decay})
    return groups


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that training may change."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def set_dropout(module: nn.Module, probability: float) -> None:
    """Set the probability of every dropout in the module, including that of attention probabilities."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = probability


def initialise_head(model: nn.Module, standard_deviation: float, generator: torch.Generator) -> None:
    """Reinitialise the head as BERT does."""
    initialise(head_modules(model), standard_deviation, generator)


@torch.no_grad()
def initialise(modules: Iterable[nn.Module], standard_deviation: float, generator: torch.Generator) -> None:
    """Initialise the parameters that these modules own as BERT does: weights N(0, sd), biases 0, norms 1 and 0.

    Parameters of their submodules stay as they are. The generator must be a CPU one, so that all devices get the same
    numbers.
    """
    for module in modules:
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias":
                parameter.zero_()
            elif parameter.dim() < 2:
                parameter.fill_(1.0)
            else:
                draw = torch.empty(parameter.shape).normal_(0.0, standard_deviation, generator=generator)
                parameter.copy_(draw)
