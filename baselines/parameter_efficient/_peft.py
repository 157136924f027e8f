"""Base class of the methods that use peft."""

import copy
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from amix.models.architecture import backbone, head_names
from amix.random_streams import derive, kept_random_state
from amix.specs.recipe import Recipe
from amix.specs.suggestions import nearest
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model

QUERY_AND_VALUE = (
    ("query", "value"),  # BERT, RoBERTa, ELECTRA, ALBERT
    ("query_proj", "value_proj"),  # DeBERTa-v2
    ("q_lin", "v_lin"),  # DistilBERT
    ("q_proj", "v_proj"),  # most decoders
    ("in_proj",),  # DeBERTa, fused
    ("Wqkv",),  # ModernBERT, fused
    ("c_attn",),  # GPT-2, fused
    ("q", "v"),  # MPNet, T5
)
PARITY = "departs: peft's implementation, not compared with numbers of the official code"
KEY_AND_VALUE = (("key", "value"), ("key_proj", "value_proj"), ("k_lin", "v_lin"), ("k_proj", "v_proj"), ("k", "v"))


def attention_targets(model: nn.Module, families: tuple[tuple[str, ...], ...] = QUERY_AND_VALUE) -> list[str]:
    """Last parts of the names of the query and value projections, or of others.

    Args:
        model: A classifier.
        families: Names of the projections in each family of models.

    Raises:
        MethodError: If the model is of no known family; the message lists the names that it has.
    """
    modules = [name for name, module in backbone(model).named_modules() if list(module.parameters(recurse=False))]
    endings = {name.rsplit(".", 1)[-1] for name in modules}
    for names in families:
        if endings.issuperset(names):
            return list(names)
    raise MethodError(
        f"no {' and '.join(families[0])} projections found in {type(model).__name__}; name them with `targets`. "
        f"Its layers: {', '.join(sorted(endings))}"
    )


def check_targets(model: nn.Module, targets: Iterable[str], setting: str = "targets") -> None:
    """Refuse names of layers that the model does not have: a layer's whole name, or its end after a dot.

    Args:
        model: A classifier.
        targets: The names.
        setting: Where they stand, for the message.

    Raises:
        MethodError: If one of them names no layer with a matrix of its own.
    """
    names = [name for name, module in model.named_modules() if is_matrix(getattr(module, "weight", None))]
    for target in targets:
        if not any(f".{name}".endswith(f".{target}") for name in names):
            known = {".".join(name.split(".")[-1 - target.count(".") :]) for name in names}
            raise MethodError(
                f"{setting}: {type(model).__name__} has no layer called '{target}'; {nearest(target, sorted(known))}"
            )


def is_matrix(weight: object) -> bool:
    """Whether this is a layer's weight, and not a norm's or something else."""
    return isinstance(weight, torch.Tensor) and weight.dim() > 1


class PeftMethod(Method):
    """A frozen body with peft's modules, which are merged into it at the end, and a head that trains.

    BERT's pretrained pooler stays frozen, as in peft's own classifier, while the new dense layer in the heads of
    RoBERTa and DeBERTa-v2 trains. Full finetuning's learning rate hardly moves these modules, so that each method has
    its own (`lr: null` uses the recipe's).
    """

    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration for this model."""
        raise NotImplementedError

    def usual_targets(self, model: Model) -> list[str]:
        """Names, or last parts of names, of the layers that are tuned unless `targets` says otherwise."""
        return attention_targets(model)

    def targets(self, model: Model) -> list[str]:
        """Names, or last parts of names, of the layers that are tuned.

        Raises:
            MethodError: If one of them is no layer of the model.
        """
        given: tuple[str, ...] = getattr(self.config, "targets", ())
        check_targets(model, given)
        return list(given) or self.usual_targets(model)

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Find every layer that is to be tuned."""
        self.targets(model)

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body and add peft's modules in place; the model keeps its class and its hooks."""
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING  # Importing it takes seconds, which plans need not wait.

        settings = self.settings(model, fit)
        head = head_names(model)
        with kept_random_state(fit.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unsupported layer type", UserWarning)  # LayerNorm, which peft supports.
            torch.manual_seed(derive(fit.seed, "method", "adapters"))
            self.adapted = PEFT_TYPE_TO_TUNER_MAPPING[settings.peft_type](model, {"default": settings}, "default")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or name in head)
        return model

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """peft's modules and the head, at the method's learning rate."""
        return at_own_lr(super().param_groups(model, fit), self.config.lr)

    @override
    def export(self, model: Model, fit: Fit) -> Model:
        """A plain copy with peft's modules merged into the weights; the training model does not change."""
        merged = copy.deepcopy(self.adapted).merge_and_unload()
        assert isinstance(merged, nn.Module)
        return merged


def at_own_lr(groups: Groups, lr: float | None) -> Groups:
    """The groups with this learning rate, or unchanged if it is None."""
    return groups if lr is None else [group | {"lr": lr} for group in groups]
