"""P-tuning: vectors before the text, computed by a small network."""

from dataclasses import dataclass
from typing import Literal

from torch import nn
from typing_extensions import override

from amix.specs.recipe import Share
from amix.specs.spec_model import Count
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._prompts import PromptMethod, width
from baselines.parameter_efficient._virtual_tokens import VirtualTokens


@register
class PTuning(PromptMethod):
    """P-tuning: a small network computes the vectors before the text, which makes them easier to train.

    Liu et al. (2021), section 3.2, through peft: an MLP of three layers, or with `network: LSTM` the paper's
    bidirectional LSTM and MLP. They tune the encoder too; here it is frozen, as in peft. lr is ours.

    Official options that change numbers (THUDM/P-tuning, PT-Fewshot/cli.py): prompt_encoder_type is `network`, LSTM by
    default there; embed_size is the encoder's width; alpha weights a language-modelling loss, and pattern_ids choose
    prompts with words: neither is available here.
    """

    @dataclass(frozen=True)
    class Config:
        """tokens: number of vectors. hidden: width of the network, None for the encoder's. network: MLP or LSTM."""

        tokens: Count = 20
        hidden: Count | None = None
        network: Literal["MLP", "LSTM"] = "MLP"
        lr: float | None = 1e-3
        dropout: Share | None = None

    name = "p_tuning"
    info = MethodInfo(
        paper="Liu et al., arXiv 2021 (GPT Understands, Too)",
        year=2021,
        kind="parameter-efficient",
        parity="departs: the head reads the text's states; these equal peft's",
        plain_checkpoint=False,
        grid={"network": ("MLP", "LSTM"), "lr": (3e-4, 1e-3, 3e-3)},
        toy_settings={"lr": 2e-2, "tokens": 8, "dropout": 0.0},
        toy_epochs=40,
    )

    @override
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
