"""Base class of the methods that learn vectors before the text."""

import torch
from torch import nn
from transformers import PreTrainedModel
from typing_extensions import override

from amix.models.architecture import backbone, embeddings, head_names, set_dropout
from amix.models.with_addition import EncoderWithAddition
from amix.random_streams import derive, kept_random_state
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from baselines.parameter_efficient._peft import at_own_lr
from baselines.parameter_efficient._virtual_tokens import VirtualTokens


class PromptMethod(Method):
    """A frozen body, learned vectors before the text, and a head that trains.

    The modules that compute the vectors are peft's. Departs from peft's classifier, whose head reads the first learned
    token: here the head reads the text's own states (its [CLS], or their mean), as in plain finetuning. P-tuning v2
    trains 60 epochs on RTE, so that 300 examples and 3 epochs are far too small a budget. `dropout` is the rate of
    encoder and head while the vectors train, which the official scripts set per task; None keeps the encoder's own.
    """

    def addition(self, model: nn.Module) -> VirtualTokens:
        """The vectors to train."""
        raise NotImplementedError

    def finished(self, addition: VirtualTokens) -> VirtualTokens:
        """The vectors alone, without the network that computes them."""
        plain = type(addition)(**addition.arguments)
        plain.vectors.data.copy_(addition().detach())
        return plain

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Count the encoder's positions.

        Raises:
            MethodError: If texts and vectors together exceed them.
        """
        assert isinstance(model, PreTrainedModel)
        positions = getattr(model.config, "max_position_embeddings", None)
        if positions is not None and recipe.max_length + self.config.tokens > positions:
            raise MethodError(
                f"{self.name}: max_length {recipe.max_length} plus {self.config.tokens} learned tokens are more "
                f"than the encoder's {positions} positions; lower one of them"
            )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body and put the vectors before its input."""
        assert isinstance(model, PreTrainedModel)
        self.check_encoder(model, fit.task, fit.recipe)
        if self.config.dropout is not None:
            set_dropout(model, self.config.dropout)
        with kept_random_state(fit.device):
            torch.manual_seed(derive(fit.seed, "method", "prompt"))
            addition = self.addition(model).to(fit.device)
        head = head_names(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in head)
        addition.attach(backbone(model))
        return EncoderWithAddition(model, addition)

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Vectors and head, at the method's learning rate."""
        return at_own_lr(super().param_groups(model, fit), self.config.lr)

    @override
    def export(self, model: Model, fit: Fit) -> Model:
        """The classifier with its hooks, and the current vectors."""
        assert isinstance(model, EncoderWithAddition)
        assert isinstance(model.addition, VirtualTokens)
        return EncoderWithAddition(model.classifier, self.finished(model.addition))


def width(model: nn.Module) -> int:
    """Width of the embedded tokens."""
    table = embeddings(model)
    assert isinstance(table, nn.Embedding)
    return table.embedding_dim
