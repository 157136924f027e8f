"""Random splits of the subset: one part trains the task weights, the rest is held out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy

from amix.data.encoded import Batch, Encoded
from amix.random_streams import array_generator
from amix.training.fit import Fit
from amix.training.method import MethodError


@dataclass(frozen=True)
class SplitConfig:
    """How the subset is split, and how each split is trained.

    splits: K. lower_share: share of the subset that trains the task weights; the rest is held out. search_epochs:
    epochs over the lower part. search_clip_norm: largest gradient norm in a search.
    """

    splits: int = 5
    lower_share: float = 0.8
    search_epochs: int = 3
    search_clip_norm: float = 5.0

    def __post_init__(self) -> None:
        if self.splits < 0 or self.search_epochs < 1 or not 0 < self.lower_share < 1:
            raise MethodError("splits must be at least 0, search_epochs at least 1, lower_share between 0 and 1")

    def lower_count(self, n_train: int) -> int:
        """Return the number of examples that train the task weights; at least one, and at least one is held out."""
        return min(max(int(self.lower_share * n_train), 1), n_train - 1)

    def iterations(self, n_train: int, batch_size: int) -> int:
        """Return the number of iterations of one split."""
        return self.search_epochs * -(-self.lower_count(n_train) // batch_size)


def split_positions(config: SplitConfig, n_train: int, seed: int, number: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Draw the positions of a split's lower and held-out part, from the stream (seed, "split", number).

    Splits are drawn independently, not as folds, as published (run_glue_mlo.py:530-536): an example can be held out in
    several splits or in none.
    """
    order = array_generator(seed, "split", number).permutation(n_train)
    n_lower = config.lower_count(n_train)
    return order[:n_lower], order[n_lower:]


def split_fit(config: SplitConfig, fit: Fit, number: int) -> tuple[Fit, Encoded]:
    """Return the Fit of one split's lower part, and its held-out part."""
    lower, held_out = split_positions(config, len(fit.train), fit.seed, number)
    steps = config.iterations(len(fit.train), fit.recipe.batch_size)
    recipe = replace(fit.recipe, steps=steps, clip_norm=config.search_clip_norm)
    return fit.for_stage(f"search-{number}", train=fit.train.select(lower), recipe=recipe), fit.train.select(held_out)


def endless_batches(fit: Fit, held_out: Encoded) -> Iterator[Batch]:
    """Yield batches of the held-out part, epoch after epoch, from their own random stream."""
    held_out_fit = fit.for_stage(f"{fit.stage}-held-out", train=held_out)
    epoch = 0
    while True:
        yield from held_out_fit.batches(epoch)
        epoch += 1
