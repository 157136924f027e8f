"""FISH mask: train the entries with the largest Fisher information."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.data.encoded import Batch
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.subnetwork._fixed_mask import GRID, NULL, FixedMask, MaskConfig


@register
class FishMask(FixedMask):
    """FISH mask: train the head and the other weights with the largest Fisher information before training.

    F = sum over single examples of (d log p(y|x) / d theta)^2 at the label y, or with `expected` of
    sum_c p(c|x) (d log p(c|x) / d theta)^2, both without dropout, at the pretrained weights and the initial head
    (Sung et al. 2021; official code: varunnair18/FISH, transformers/examples/text-classification/
    run_glue_sparse_update.py). The mask selects the K largest entries outside the head, K = int(share * all) - head.
    Share, examples and learning rate are those of its script, which runs 7 epochs of the full training sets: a share of
    0.005 learns little in 3 epochs of 300 examples. Departs: the head is everything that is not in the checkpoint,
    where the code goes by the name "classifier" and so excludes DeBERTa-v2's pooler. In regression the label is taken
    as normally distributed around the output, with unit variance for `expected`.

    Official options that change numbers: num_samples is `samples`, keep_ratio `share`; mask_method label-square is the
    default, expect-square is `expected`, label-absolute and expect-absolute are `absolute` (the code's default is
    label-absolute, but its scripts and the paper use squares); random is `random_mask` and bias is `bitfit`;
    normal_training is plain finetuning. mask_path and data_split_path load files and have no counterpart.
    """

    @dataclass(frozen=True)
    class Config(MaskConfig):
        """samples: largest number of examples. expected: over the model's own labels, one backward pass for each.

        absolute: sum |g| instead of g^2; with `expected`, p |g|.
        """

        samples: int = 1024
        expected: bool = False
        absolute: bool = field(default=False, metadata={"neutral": False})

        @override
        def __post_init__(self) -> None:
            super().__post_init__()
            if self.samples < 1:
                raise MethodError(f"FISH mask needs samples of at least 1, not {self.samples}")

    name = "fish_mask"
    info = MethodInfo(
        paper="Sung et al., NeurIPS 2021",
        year=2021,
        kind="subnetwork",
        parity="matched: masks and importance",
        cases=("fish_*",),
        whole_passes=False,  # The Fisher information takes passes over single examples.
        null=NULL,
        splits_batches=False,
        grid=GRID,
        toy_settings={"share": 0.3, "lr": None, "samples": 48},
    )

    @override
    def importance(self, model: Model, fit: Fit, body: list[nn.Parameter]) -> list[Tensor]:
        """F of each parameter of the body."""
        fisher = [torch.zeros_like(parameter) for parameter in body]
        model.eval()
        for example in islice(single_examples(fit), self.config.samples):
            roots = self.scores(fit.logits(model, example), example, fit)
            for number, root in enumerate(roots, 1):
                gradients = fit.gradients(root, list(body), retain_graph=number < len(roots), allow_unused=True)
                for values, gradient in zip(fisher, gradients, strict=True):
                    if gradient is not None:
                        values.addcmul_(gradient, gradient.sign() if self.config.absolute else gradient)
        model.train()
        return fisher

    def scores(self, logits: Tensor, example: Batch, fit: Fit) -> tuple[Tensor, ...]:
        """Scalars whose squared (or absolute) gradients add up to one example's F; logits: [1, outputs]."""
        if not self.config.expected:
            return (fit.task_loss(logits, example),)
        if fit.task.regression:
            return (logits.sum(),)
        log_p = logits.log_softmax(dim=-1)[0]
        power = 1.0 if self.config.absolute else 0.5
        return (log_p * log_p.detach().mul(power).exp()).unbind()

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """Plain finetuning plus passes over single examples."""
        examples = min(self.config.samples, n_train)
        return 1.0 + examples / (recipe.batch_size * recipe.total_steps(n_train))


def single_examples(fit: Fit) -> Iterator[Batch]:
    """The training examples one by one, in the order of the first epoch."""
    for batch in fit.batches(0):
        for position in range(len(batch["labels"])):
            yield {name: tensor[position : position + 1] for name, tensor in batch.items()}
