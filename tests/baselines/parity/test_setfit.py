"""SetFit against its library: the same pairs, the same losses, and the same embeddings after all steps."""

from collections.abc import Iterator

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from transformers import BertConfig, BertModel

from amix.data.encoded import Batch, Encoded
from amix.models.mean_pooling import MeanPooledClassifier
from amix.training.fit import Fit
from baselines.classical.frozen_logistic import inputs_of
from baselines.contrastive.setfit import Pairs, SetFit, draw_pairs
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases
from helpers.parity import golden_fit


class StoredBatches(SetFit):
    """SetFit on the batches that the library drew, with its losses recorded."""

    case: Case
    losses: list[torch.Tensor]

    def pair_batches(self, fit: Fit, pairs: Pairs) -> Iterator[Batch]:
        labels = self.case.tensor("labels")
        for first, second in zip(self.case.tensor("batch/first"), self.case.tensor("batch/second"), strict=True):
            first, second = first[first >= 0], second[second >= 0]
            targets = (labels[first] == labels[second]).float()
            yield fit.train.batch(torch.cat([first, second])) | {"targets": targets}

    def loss(self, model: torch.nn.Module, batch: Batch, fit: Fit) -> torch.Tensor:
        loss = super().loss(model, batch, fit)
        self.losses.append(loss.detach())
        return loss


def examples(case: Case) -> Encoded:
    ids = case.tensor("input_ids")
    mask = (ids != 0).long()
    return Encoded({"input_ids": ids, "attention_mask": mask}, mask.sum(dim=1), case.tensor("labels"))


@pytest.mark.parametrize("name", cases("setfit_*"))
def test_the_pairs_equal_those_of_the_library(name: str) -> None:
    case = Case(name)
    iterations = case.hyperparameters["num_iterations"] or 0
    first, second, targets = draw_pairs(case.arrays["labels"], False, iterations, numpy.random.RandomState(seed=42))
    assert numpy.array_equal(first, case.arrays["pairs/sentence_1"])
    assert numpy.array_equal(second, case.arrays["pairs/sentence_2"])
    assert numpy.array_equal(targets, case.arrays["pairs/label"])


@pytest.mark.parametrize("name", cases("setfit_*"))
def test_losses_and_embeddings_equal_those_of_the_library(name: str, record_parity: Parity) -> None:
    case = Case(name)
    settings = case.hyperparameters
    body = BertModel(BertConfig(**settings["model"]), add_pooling_layer=False)
    body.load_state_dict({key: value for key, value in case.group("init/").items() if "pooler" not in key})
    fit = golden_fit()
    fit.train = examples(case)
    config = SetFit.Config(
        iterations=settings["num_iterations"] or 0, batch_size=settings["batch_size"], lr=settings["lr"],
        warmup_ratio=settings["warmup_ratio"],
    )  # fmt: skip
    method = StoredBatches(config)
    method.case, method.losses = case, []
    model = method.prepare(MeanPooledClassifier(body), fit)
    before = inputs_of(method.last, model, fit.train, fit)
    pairs = draw_pairs(case.arrays["labels"], False, config.iterations, numpy.random.RandomState(seed=42))
    stage = fit.for_stage("pairs", recipe=method.pair_recipe(fit.recipe, len(pairs[0])))
    method.learn(model, stage, pairs)
    assert stage.total_steps == settings["steps"] == len(method.losses)
    embeddings = inputs_of(method.last, model, fit.train, fit)
    record_parity(case, distance(torch.stack(method.losses), case.tensor("loss")), case.limit("loss"))
    record_parity(case, distance(embeddings, case.tensor("embeddings")), case.limit("embeddings"))
    assert distance(before, case.tensor("embeddings")) > 0.01


@given(labels=some.lists(some.integers(0, 3), min_size=1, max_size=9), iterations=some.integers(0, 3))
def test_pairs_of_classes_are_balanced_between_equal_and_different_labels(labels: list[int], iterations: int) -> None:
    classes = numpy.array(labels)
    first, second, targets = draw_pairs(classes, False, iterations, numpy.random.default_rng(0))
    assert numpy.array_equal(targets, (classes[first] == classes[second]).astype(numpy.float32))
    agreeing = int(targets.sum())
    assert agreeing == (len(targets) // 2 if len(set(labels)) > 1 else len(targets))
    if iterations:
        assert agreeing == iterations * len(labels)


@given(numbers=some.lists(some.floats(-5, 5, width=32), min_size=2, max_size=9), iterations=some.integers(0, 3))
def test_targets_of_numbers_fall_with_the_distance_of_labels(numbers: list[float], iterations: int) -> None:
    values = numpy.array(numbers, dtype=numpy.float32)
    first, second, targets = draw_pairs(values, True, iterations, numpy.random.default_rng(0))
    assert len(targets) == (2 * iterations * len(values) or len(values) * (len(values) + 1) // 2)
    assert ((targets >= -1e-6) & (targets <= 1)).all()
    assert (targets[values[first] == values[second]] == 1).all()
    furthest = numpy.abs(values[first] - values[second]) == values.max() - values.min()
    if values.max() > values.min():
        numpy.testing.assert_allclose(targets[furthest], 0, atol=1e-6)
