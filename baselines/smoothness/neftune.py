"""NEFTune: uniform noise on the token embeddings during finetuning."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import embeddings
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._hidden_states import changed_outputs


@register
class NEFTune(Method):
    """NEFTune: e <- e + alpha / sqrt(L d) * U(-1, 1) for token embeddings e of width d in a text of L tokens.

    Jain et al. (2024), algorithm 1: the noise of a text has the expected norm alpha / sqrt(3), whatever its length.
    They finetune decoders on instructions and try alpha 5, 10 and 15. As there, the noise is added to the output of the
    embedding table, so that in BERT positions, segments and LayerNorm come after it. L counts a text's own tokens; with
    `padded_length` it is the length of the padded batch, as in the hook of transformers (integrations/neftune.py:48),
    where a text's noise depends on the other texts of its batch.

    Official options that change numbers (neelsjain/NEFTune, train.py as its README calls it; the file was not
    available): neftune_alpha is `alpha`; the others are the recipe's or belong to instruction tuning.
    """

    @dataclass(frozen=True)
    class Config:
        """alpha: scale of the noise. padded_length: L is the length of the padded batch."""

        alpha: float = 5.0
        padded_length: bool = False

        def __post_init__(self) -> None:
            if self.alpha < 0:
                raise MethodError(f"NEFTune needs an alpha of at least 0, not {self.alpha}")

    name = "neftune"
    info = MethodInfo(
        paper="Jain et al., ICLR 2024",
        year=2024,
        kind="smoothness",
        parity="departs: not compared with numbers of the official code, which is for decoders",
        null={"alpha": 0.0},
        splits_batches=False,
        micro_batches=True,
        grid={"alpha": (5.0, 10.0, 15.0)},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the noise."""
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss with noise on the embeddings."""
        tokens = batch["attention_mask"].sum(dim=1)

        def add_noise(embedded: Tensor) -> Tensor:
            return embedded + self.draw_noise(embedded) * self.scale(embedded, tokens)

        with changed_outputs([embeddings(model)], add_noise):
            return super().loss(model, batch, fit)

    def draw_noise(self, embedded: Tensor) -> Tensor:
        """Uniform noise in (-1, 1) for embedded tokens [batch, length, width]."""
        return torch.empty_like(embedded).uniform_(-1.0, 1.0, generator=self.generator)

    def scale(self, embedded: Tensor, tokens: Tensor) -> Tensor:
        """alpha / sqrt(L d) of each text, [batch, 1, 1]; tokens: length of each text [batch]."""
        length = torch.full_like(tokens, embedded.shape[1]) if self.config.padded_length else tokens
        return self.config.alpha / (length.to(embedded.dtype) * embedded.shape[2]).sqrt().view(-1, 1, 1)
