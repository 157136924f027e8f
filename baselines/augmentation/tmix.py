"""TMix: mixup of hidden states inside the encoder."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import blocks
from amix.random_streams import array_generator, tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._hidden_states import changed_outputs


@register
class TMix(Method):
    """TMix: h <- l h_i + (1 - l) h_j at the output of one block, and the loss l CE(y_i) + (1 - l) CE(y_j).

    For every batch l = max(l', 1 - l') with l' from Beta(alpha, alpha), the block is drawn from `layers`, and j is a
    random permutation of the batch. States are mixed token by token, those of padding included; the blocks above read
    the mixture with the union of both attention masks. Chen et al. (2020), section 3.1; official code:
    SALT-NLP/MixText, code/train.py, where TMix is part of semi-supervised learning; here, as in the paper's TMix rows,
    it sees labelled examples only. They draw from blocks 7, 9 and 12 of 12; for other encoders the relative depths stay
    the same. Their loss is the KL divergence from the mixed label, which equals this one up to a constant; in
    regression the squared error to either target takes its place. alpha 16 is from their command.

    Official options that change numbers (code/train.py): alpha (0.75 by default) and mix-layers-set are `alpha` and
    `layers`; co, which mixes every other batch at random, is `share` 0.5, and mix-option off is `share` 0;
    separate-mix, which their command for TMix sets, takes l' for l, which changes nothing as long as j is a random
    permutation. mix-method 1 and 2, which join texts, and lrlast, a rate of the head's own, are not here; train_aug,
    lambda-u, T, temp-change, margin, lambda-u-hinge and batch-size-u belong to unlabelled or translated texts.
    """

    @dataclass(frozen=True)
    class Config:
        """alpha: of the Beta distribution. layers: relative depths to draw from. share: of batches that are mixed."""

        alpha: float = 16.0
        layers: tuple[float, ...] = (7 / 12, 9 / 12, 1.0)
        share: float = 1.0

        def __post_init__(self) -> None:
            if self.alpha <= 0 or not self.layers or not all(0 < layer <= 1 for layer in self.layers):
                raise MethodError("TMix needs an alpha above 0 and layers in (0, 1]")
            if not 0 <= self.share <= 1:
                raise MethodError(f"TMix needs a share of mixed batches in [0, 1], not {self.share}")

    name = "tmix"
    info = MethodInfo(
        paper="Chen et al., ACL 2020",
        year=2020,
        kind="augmentation",
        parity="departs: the official code mixes labelled with unlabelled examples and was not run",
        null={"share": 0.0},
        splits_batches=False,
        micro_batches=False,
        reads_padding=True,
        grid={"alpha": (0.4, 2.0, 16.0)},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generators of the mixing shares and of the permutations."""
        self.shares = array_generator(fit.seed, "method", fit.stage)
        self.permutations = tensor_generator(fit.seed, "method", fit.stage, "partners")

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of the mixed states."""
        if self.shares.random() >= self.config.share:
            return super().loss(model, batch, fit)
        drawn = float(self.shares.beta(self.config.alpha, self.config.alpha))
        share, layers = max(drawn, 1.0 - drawn), blocks(model)
        depth = self.config.layers[int(self.shares.integers(len(self.config.layers)))]
        partner = torch.randperm(len(batch["labels"]), generator=self.permutations).to(fit.device)
        mixed = layers[max(1, round(depth * len(layers))) - 1]
        both = batch | {"attention_mask": batch["attention_mask"] | batch["attention_mask"][partner]}
        with changed_outputs([mixed], lambda states: share * states + (1.0 - share) * states[partner]):
            logits = fit.logits(model, both)
        other = fit.task_loss(logits, batch | {"labels": batch["labels"][partner]})
        return share * fit.task_loss(logits, batch) + (1.0 - share) * other
