"""Delayed ensemble with noisy interpolation against whole runs of its official function."""

import itertools
import math
from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import Tensor, nn

from amix.training.fit import Fit
from amix.training.loop import start, train_step
from baselines.averaging.deni import DENI, DENIConfig, mean_models
from helpers.golden_cases import distance, tiny_bert
from helpers.official_cases import Case, Parity, cases
from helpers.parity import NOISE, golden_fit


class GivenDraws(DENI):
    """The method with the case's random numbers."""

    def __init__(self, config: DENIConfig, case: Case) -> None:
        super().__init__(config)
        self.stored = case.group("draw/")
        self.time = -1

    def draws(self, named: Mapping[str, Tensor], fit: Fit, number: int) -> Iterator[Tensor]:
        self.time += number == 1
        assert set(named) == set(self.stored), "noise on the same tensors"
        for name in named:
            yield self.stored[name][self.time, number - 1]


def configuration(case: Case) -> DENIConfig:
    """The case's settings, with lengths as shares of the run."""
    given = case.hyperparameters
    return DENIConfig(
        members=given["ensemble_size"],
        noise_variance=given["noise_variance"],
        noise_layer={"head": "head", "trainable": "all"}[given["noise_layer"]],  # type: ignore[arg-type]
        start_noise=given["start_noise"],
        end_noise=given["end_noise"],
        wait=given["noise_after_steps"] / given["steps"],
        together=given["ensemble_training_steps"] / given["steps"],
        start_ensemble=given["start_ensemble"],
    )


def fit_of(case: Case) -> Fit:
    """A fit with the case's recipe: its AdamW without weight decay is Adam."""
    given = case.hyperparameters
    return golden_fit(
        lr=given["lr"], steps=given["steps"], warmup_ratio=given["warmup_steps"] / given["steps"],
        weight_decay=given["weight_decay"], betas=tuple(given["betas"]), adam_epsilon=given["eps"], clip_norm=math.inf,
    )  # fmt: skip


def weights_distance(model: nn.Module, expected: Mapping[str, Tensor]) -> float:
    """Largest relative difference, without the biases whose steps are rounding noise: these are checked here."""
    found = dict(model.named_parameters())
    assert set(found) == set(expected)
    distances = {name: distance(found[name], values) for name, values in expected.items()}
    assert all(value < 1e-9 for name, value in distances.items() if NOISE in name)
    return max(value for name, value in distances.items() if NOISE not in name)


@pytest.mark.parametrize("name", cases("deni_*"))
def test_a_run_equals_the_official_functions(name: str, record_parity: Parity) -> None:
    case = Case(name)
    given = case.hyperparameters
    model, fit, method = tiny_bert(case), fit_of(case), GivenDraws(configuration(case), case)
    start(method, model, fit)
    batches = itertools.cycle(case.batch("batch", number) for number in range(given["steps"] // given["epochs"]))
    for number, batch in enumerate(itertools.islice(batches, given["steps"])):
        train_step(method, model, batch, fit)
        assert len(method.models(model)) == case.arrays["models"][number], number
        if number + 1 in given["recorded_steps"]:
            place = given["recorded_steps"].index(number + 1)
            expected = {tensor: values[place] for tensor, values in case.group("param/").items()}
            record_parity(case, weights_distance(model, expected), case.limit("parameters"))
    unseen = {tensor: values for tensor, values in case.batch("test").items() if tensor != "labels"}
    with torch.no_grad():
        for number, member in enumerate(method.models(model)):
            record_parity(case, weights_distance(member, case.group(f"member/{number}/")), case.limit("parameters"))
            record_parity(case, distance(member(**unseen).logits, case.tensor("logits")[number]), case.limit("logits"))
        together = method.for_evaluation(model, fit)(**unseen).logits
    record_parity(case, distance(together, case.tensor("logits").mean(dim=0)), case.limit("logits"))
    assert mean_models(method.config, given["steps"]) == pytest.approx(case.arrays["models"].mean())
