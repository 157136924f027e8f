"""How well the estimators of the implicit term agree with the exact term, on a pretrained encoder with dropout."""

import copy
from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from amix.data.encoded import Batch
from amix.data.splits import load_splits
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Estimator, Hypergradient, HypergradientOptions
from amix.mixup.weight_mixup import WeightMixup
from amix.models.loading import load_model, load_tokenizer
from amix.random_streams import tensor_generator
from amix.specs.encoders import find_encoder
from amix.specs.tasks import find_task
from amix.training.fit import Fit, accelerator
from amix.training.loop import start, train_step
from amix.training.method import Method

SEED = 1017
N_TRAIN = 96
BATCH = 8
POINTS: tuple[Literal["after", "before"], ...] = ("after", "before")
COMPARED: tuple[tuple[Estimator, str], ...] = (("central", "common"), ("forward", "common"), ("central", "independent"))


def agreement(encoder: str, task_name: str, draws: int, steps: int) -> Iterator[str]:
    """One line per draw and estimator: its cosine with the exact term, and the relative norm of their difference.

    All terms have the scale of the released code (xi = 1, Adam's preconditioner).

    Args:
        encoder: alias, Hub id or folder.
        task_name: task whose examples are used.
        draws: number of draws, each with two batches of 8 and its own seed of the dropout masks.
        steps: updates of plain finetuning before the first draw.
    """
    torch.set_num_threads(1)
    task, recipe = find_task(task_name), find_encoder(encoder).recipe.with_changes({"batch_size": BATCH})
    splits = load_splits(task, N_TRAIN, SEED, load_tokenizer(encoder), encoder, recipe.max_length)
    fit = Fit(task, recipe, SEED, splits.train, splits.dev)
    model = load_model(encoder, task, SEED).to(accelerator().device)
    pretrained = {name: p.detach().clone() for name, p in model.named_parameters()}
    batches = [batch for epoch in range(1 + (steps + 2 * draws) * BATCH // N_TRAIN) for batch in fit.batches(epoch)]
    method = Method()
    start(method, model, fit)
    for batch in batches[:steps]:
        train_step(method, model, batch, fit)
    for draw in range(draws):
        lower, upper = batches[steps + 2 * draw : steps + 2 * draw + 2]
        yield from _compared(model, pretrained, fit, lower, upper, draw)


def _compared(
    model: nn.Module, pretrained: dict[str, Tensor], fit: Fit, lower: Batch, upper: Batch, draw: int
) -> Iterator[str]:
    hypergradient = partial(_hypergradient, model, pretrained, fit, lower, upper, draw)
    for point in POINTS:
        exact = hypergradient(HypergradientOptions("exact", point, xi=1.0))
        for estimator, masks in COMPARED:
            if (estimator == "forward") != (point == "before"):
                continue
            options = HypergradientOptions(estimator, point, xi=1.0, masks=masks)  # type: ignore[arg-type]
            estimate, wanted = _flat(hypergradient(options).implicit), _flat(exact.implicit)
            cosine = float(functional.cosine_similarity(estimate, wanted, dim=0))
            distance = float((estimate - wanted).norm() / wanted.norm())
            yield f"draw {draw}: {estimator}, {masks} masks: cosine {cosine:.4f}, relative difference {distance:.4g}"
        if point == "after":
            length = float(wanted.norm() / _flat(exact.direct).norm())
            yield f"draw {draw}: exact implicit term {length:.3g} times as long as the direct one"


def _hypergradient(
    model: nn.Module,
    pretrained: dict[str, Tensor],
    fit: Fit,
    lower: Batch,
    upper: Batch,
    draw: int,
    options: HypergradientOptions,
) -> Hypergradient:
    """The hypergradient of one iteration on a copy of the model, with the masks of this draw."""
    model = copy.deepcopy(model)
    mixup = WeightMixup(model, pretrained)
    mixup.draw_attention(0.005, tensor_generator(SEED, "attention", draw))
    optimizer = torch.optim.AdamW(mixup.lower.values(), lr=fit.recipe.lr)
    step = BilevelStep(mixup, optimizer, torch.optim.SGD(mixup.attention, lr=0.0), options, clip_norm=5.0)
    torch.manual_seed(draw)
    plain = partial(Method().loss, model, fit=fit)
    return step(lambda: plain(batch=lower), lambda: plain(batch=upper))


def _flat(parts: list[Tensor] | None) -> Tensor:
    assert parts is not None
    return torch.cat([part.flatten() for part in parts]).double()
