"""Finding one's way in a Hugging Face classifier without knowing its architecture."""

from collections.abc import Iterable, Iterator

import torch
from torch import nn


class ArchitectureError(TypeError):
    """A model in which a part that a method needs cannot be found."""


def backbone(model: nn.Module) -> nn.Module:
    """The pretrained body; what lies outside it is the head."""
    body = getattr(model, "base_model", None)
    if not isinstance(body, nn.Module) or body is model:
        raise ArchitectureError(f"{type(model).__name__} has no pretrained body below its head")
    return body


def head_names(model: nn.Module) -> set[str]:
    """Names of the parameters of the head: those that the pretrained checkpoint does not determine."""
    body = {id(parameter) for parameter in backbone(model).parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) not in body}


def head_modules(model: nn.Module) -> Iterator[nn.Module]:
    """Modules of the head that own parameters."""
    body = {id(module) for module in backbone(model).modules()}
    for module in model.modules():
        if id(module) not in body and list(module.parameters(recurse=False)):
            yield module


def blocks(model: nn.Module) -> list[nn.Module]:
    """The Transformer blocks from bottom to top (ALBERT's shared groups count once).

    Raises:
        ArchitectureError: When there is no list of blocks.
    """
    lists = [module for module in backbone(model).modules() if isinstance(module, nn.ModuleList) and len(module)]
    if not lists:
        raise ArchitectureError(f"{type(model).__name__} has no list of Transformer blocks")
    return list(lists[0])


def pretrained_pooler(model: nn.Module) -> list[nn.Module]:
    """The pooler of the pretrained body; empty where there is none or where it belongs to the new head."""
    pooler = getattr(backbone(model), "pooler", None)
    return [pooler] if isinstance(pooler, nn.Module) else []


def embeddings(model: nn.Module) -> nn.Module:
    """The embedding of the input tokens."""
    embedding = backbone(model).get_input_embeddings()  # type: ignore[operator]
    assert isinstance(embedding, nn.Module)
    return embedding


def parameter_names(model: nn.Module, modules: list[nn.Module]) -> set[str]:
    """Names, seen from the model, of all parameters inside these modules."""
    inside = {id(parameter) for module in modules for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in inside}


def undecayed_names(model: nn.Module) -> set[str]:
    """Biases and everything in normalisation layers: parameters without weight decay."""
    norms = [module for module in model.modules() if "norm" in type(module).__name__.lower()]
    biases = {name for name, _ in model.named_parameters() if name.rsplit(".", 1)[-1] == "bias"}
    return biases | parameter_names(model, norms)


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups of the trainable parameters: with weight decay, and without."""
    undecayed = undecayed_names(model)
    groups: list[dict[str, object]] = []
    for decay, wanted in ((weight_decay, False), (0.0, True)):
        members = [p for name, p in model.named_parameters() if p.requires_grad and (name in undecayed) == wanted]
        if members:
            groups.append({"params": members, "weight_decay": decay})
    return groups


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that training may change."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def set_dropout(module: nn.Module, probability: float) -> None:
    """Give every dropout inside, that of attention probabilities included, this probability."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = probability


def initialise_head(model: nn.Module, standard_deviation: float, generator: torch.Generator) -> None:
    """Draw the head anew as BERT does."""
    initialise(head_modules(model), standard_deviation, generator)


@torch.no_grad()
def initialise(modules: Iterable[nn.Module], standard_deviation: float, generator: torch.Generator) -> None:
    """Draw the parameters that these modules own as BERT does: weights N(0, sd), biases 0, norms 1 and 0.

    Parameters of modules inside them are left alone. The generator is one of the CPU, so that every device draws alike.
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
