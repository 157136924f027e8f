"""Prefix tuning: learned keys and values in every block."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from typing_extensions import override

from amix.models.architecture import blocks
from amix.specs.recipe import Recipe, Share
from amix.specs.spec_model import Count
from amix.specs.task import Task
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import KEY_AND_VALUE, attention_targets
from baselines.parameter_efficient._prompts import PromptMethod
from baselines.parameter_efficient._virtual_tokens import Prefix, VirtualTokens


@register
class PrefixTuning(PromptMethod):
    """Prefix tuning: in every block, attention reads learned keys and values before those of the text.

    Li and Liang (2021), section 4; for classification with an encoder P-tuning v2 (Liu et al. 2022), whose 20 tokens
    and lr for RTE are the defaults (THUDM/P-tuning-v2, 60 epochs). The parameters are peft's. peft passes them as past
    keys and values, which DeBERTa-v2 does not support; here they replace the keys and values of empty tokens before the
    text, which gives the same states where both work, at the cost of computing the empty tokens. With `projection` an
    MLP computes them, as in Li and Liang.

    Official options that change numbers (THUDM/P-tuning-v2, arguments.py): pre_seq_len is `tokens`, prefix_projection
    `projection`, prefix_hidden_size `hidden` (512 there), hidden_dropout_prob `dropout`; `prompt` in place of `prefix`
    is the row prompt; template_id belongs to tasks that are not covered here.
    """

    @dataclass(frozen=True)
    class Config:
        """tokens: keys and values per block. projection: use an MLP. hidden: its width, None for the encoder's."""

        tokens: Count = 20
        projection: bool = False
        hidden: Count | None = None
        lr: float | None = 1e-2
        dropout: Share | None = None

    name = "prefix"
    info = MethodInfo(
        paper="Li and Liang, ACL 2021; Liu et al., ACL 2022 (P-tuning v2)",
        year=2021,
        kind="parameter-efficient",
        parity="departs: peft's parameters; states equal to peft's where it works",
        plain_checkpoint=False,
        grid={"tokens": (5, 20), "lr": (3e-3, 1e-2)},
        toy_settings={"lr": 2e-2, "tokens": 8, "dropout": 0.0},
        toy_epochs=40,
    )

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Count the positions, and find the key and value projections."""
        super().check_encoder(model, task, recipe)
        attention_targets(model, KEY_AND_VALUE)

    @override
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
