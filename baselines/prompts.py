"""Methods that leave the encoder as it is and learn what stands before the text: prompts and prefixes, from peft."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from amix.extended import Extended
from amix.method import Groups, Method, MethodError, Model, register
from amix.modules import backbone, blocks, embeddings, head_names, set_dropout
from amix.seeds import derive, kept_random_state
from amix.training import Fit
from baselines.parameter_efficient import KEY_AND_VALUE, at_own_lr, attention_targets
from baselines.virtual_tokens import Prefix, VirtualTokens


class PromptMethod(Method):
    """A frozen body, learned vectors before the text, a head that trains.

    The modules that make the vectors are peft's. Departs from peft's classifier, which lets the head read the first
    learned token: here it reads the text's own states (its [CLS], or their mean), as in plain finetuning. P-tuning v2
    trains 60 epochs on RTE, so that 300 examples and 3 epochs are a far too short budget. `dropout` is that of encoder
    and head while the vectors train, which the official scripts set task by task; None is the encoder's own.
    """

    kind = "parameter-efficient"
    plain_checkpoint = False

    def addition(self, model: nn.Module) -> VirtualTokens:
        """The vectors as they train."""
        raise NotImplementedError

    def finished(self, addition: VirtualTokens) -> VirtualTokens:
        """The vectors alone, without what made them."""
        plain = type(addition)(**addition.arguments)
        plain.vectors.data.copy_(addition().detach())
        return plain

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body and put the vectors before its input.

        Errors: MethodError when texts and vectors together are longer than the encoder's positions.
        """
        assert isinstance(model, PreTrainedModel)
        positions = getattr(model.config, "max_position_embeddings", None)
        if positions is not None and fit.recipe.max_length + self.config.tokens > positions:
            raise MethodError(
                f"{self.name}: max_length {fit.recipe.max_length} and {self.config.tokens} tokens before it are more "
                f"than the encoder's {positions} positions"
            )
        if self.config.dropout is not None:
            set_dropout(model, self.config.dropout)
        with kept_random_state(fit.device):
            torch.manual_seed(derive(fit.seed, "method", "prompt"))
            addition = self.addition(model).to(fit.device)
        head = head_names(model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in head)
        addition.attach(backbone(model))
        return Extended(model, addition)

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Vectors and head, at the learning rate of the method."""
        return at_own_lr(super().param_groups(model, fit), self.config.lr)

    def export(self, model: Model, fit: Fit) -> Model:
        """The classifier, whose hooks stay, and the vectors as they are now."""
        assert isinstance(model, Extended)
        assert isinstance(model.addition, VirtualTokens)
        return Extended(model.classifier, self.finished(model.addition))


def width(model: nn.Module) -> int:
    """Width of the embedded tokens."""
    table = embeddings(model)
    assert isinstance(table, nn.Embedding)
    return table.embedding_dim


@register
class PromptTuning(PromptMethod):
    """Prompt tuning: learned vectors before the embedded tokens of every text, starting at those of random tokens.

    Lester et al. (2021), section 2, through peft. They use 100 tokens and find in section 3.2 that more than 20 gain
    little; theirs is a T5 with Adafactor at lr 0.3, so that the lr for Adam is ours.
    """

    @dataclass(frozen=True)
    class Config:
        """tokens: learned vectors. sample_vocabulary: start at embeddings of random tokens, else at random."""

        tokens: int = 20
        sample_vocabulary: bool = True
        lr: float | None = 1e-2
        dropout: float | None = None

    name = "prompt"
    paper = "Lester et al., EMNLP 2021"
    year = 2021
    parity = "departs: the head reads the text's states; these equal peft's"
    grid = {"tokens": (5, 20), "lr": (3e-3, 1e-2, 3e-2)}

    def addition(self, model: nn.Module) -> VirtualTokens:
        """peft's embedding of the tokens."""
        from peft import PromptTuningConfig
        from peft.tuners.prompt_tuning import PromptEmbedding

        start = "SAMPLE_VOCAB" if self.config.sample_vocabulary else "RANDOM"
        settings = PromptTuningConfig(
            num_virtual_tokens=self.config.tokens,
            token_dim=width(model),
            num_transformer_submodules=1,
            prompt_tuning_init=start,
        )
        return VirtualTokens(self.config.tokens, width(model), PromptEmbedding(settings, embeddings(model)))


@register
class PTuning(PromptMethod):
    """P-tuning: the vectors before the text come from a small network, which makes them easier to train.

    Liu et al. (2021), section 3.2, through peft: an MLP of three layers, or with `network: LSTM` the paper's
    bidirectional LSTM and MLP. They tune the encoder too; here it is frozen, as in peft. lr is ours.
    """

    @dataclass(frozen=True)
    class Config:
        """tokens: vectors. hidden: width of the network, None for the encoder's. network: MLP or LSTM."""

        tokens: int = 20
        hidden: int | None = None
        network: str = "MLP"
        lr: float | None = 1e-3
        dropout: float | None = None

    name = "p_tuning"
    paper = "Liu et al., arXiv 2021 (GPT Understands, Too)"
    year = 2021
    parity = "departs: the head reads the text's states; these equal peft's"
    grid = {"network": ("MLP", "LSTM"), "lr": (3e-4, 1e-3, 3e-3)}

    def addition(self, model: nn.Module) -> VirtualTokens:
        """peft's network."""
        from peft import PromptEncoder, PromptEncoderConfig

        settings = PromptEncoderConfig(
            num_virtual_tokens=self.config.tokens,
            token_dim=width(model),
            num_transformer_submodules=1,
            encoder_hidden_size=self.config.hidden or width(model),
            encoder_reparameterization_type=self.config.network,
        )
        return VirtualTokens(self.config.tokens, width(model), PromptEncoder(settings))


@register
class PrefixTuning(PromptMethod):
    """Prefix tuning: in every block, attention reads learned keys and values before those of the text.

    Li and Liang (2021), section 4; for classification with an encoder P-tuning v2 (Liu et al. 2022), whose 20 tokens
    and lr for RTE are the defaults (THUDM/P-tuning-v2, 60 epochs). The parameters are peft's. peft hands them over as
    past keys and values, which DeBERTa-v2 does not take; here they replace the keys and values of empty tokens before
    the text, which gives the same states where both work, at the cost of computing the empty tokens.
    `projection` lets an MLP make them, as Li and Liang do.
    """

    @dataclass(frozen=True)
    class Config:
        """tokens: learned keys and values per block. projection: through an MLP. hidden: its width, None: encoder's."""

        tokens: int = 20
        projection: bool = False
        hidden: int | None = None
        lr: float | None = 1e-2
        dropout: float | None = None

    name = "prefix"
    paper = "Li and Liang, ACL 2021; Liu et al., ACL 2022 (P-tuning v2)"
    year = 2021
    parity = "departs: peft's parameters; states equal to peft's where it works"
    grid = {"tokens": (5, 20), "lr": (3e-3, 1e-2)}

    def addition(self, model: nn.Module) -> VirtualTokens:
        """peft's table or MLP of keys and values."""
        from peft import PrefixEncoder, PrefixTuningConfig

        layers, hidden = len(blocks(model)), int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        settings: Any = PrefixTuningConfig(
            num_virtual_tokens=self.config.tokens,
            token_dim=hidden,
            num_layers=layers,
            num_transformer_submodules=1,
            prefix_projection=self.config.projection,
            encoder_hidden_size=self.config.hidden or hidden,
        )
        names = attention_targets(model, KEY_AND_VALUE)
        return Prefix(self.config.tokens, 2 * layers * hidden, (names[0], names[1]), PrefixEncoder(settings))
