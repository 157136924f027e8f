"""Nearest neighbours and class means on frozen embeddings, against scikit-learn's."""

import numpy
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid

from amix.models.loading import load_model
from amix.training.evaluation import predict
from baselines.classical._linear import UNSEEN
from baselines.classical.centroid import class_means
from baselines.classical.knn import KNN, Neighbours
from helpers.toy_encoders import Bench
from tests.baselines.test_classical import TASKS, examples, fit_on


def points(seed: int) -> tuple[numpy.ndarray, torch.Tensor]:
    generator = numpy.random.default_rng(seed)
    labels = numpy.arange(60) % 3
    return generator.normal(size=(60, 8)) * generator.uniform(0.2, 3, 8) + labels[:, None], torch.from_numpy(labels)


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_class_mean_is_that_of_scikit_learn(seed: int) -> None:
    features, labels = points(seed)
    others, _ = points(seed + 100)
    weights, biases = class_means(features, labels, 3, shrinkage=1.0)
    expected = NearestCentroid().fit(features, labels.numpy()).predict(others)
    assert numpy.array_equal((others @ weights.T + biases).argmax(axis=1), expected)


@pytest.mark.parametrize("shrinkage", [0.05, 0.5, 1.0])
def test_with_a_learned_metric_it_is_the_shrunken_linear_discriminant(shrinkage: float) -> None:
    features, labels = points(7)
    weights, biases = class_means(features, labels, 3, shrinkage)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=[1 / 3] * 3)
    expected = oracle.fit(features, labels.numpy()).decision_function(features)
    logits = features @ weights.T + biases
    numpy.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], rtol=1e-8, atol=1e-8)


def test_a_class_without_an_example_is_never_nearest() -> None:
    features, labels = points(1)
    weights, biases = class_means(features, labels, 4, 1.0)
    assert not weights[3].any()
    assert biases[3] == UNSEEN


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("family", ["bert", "deberta-v2", "bert-mean"])
def test_neighbours_predict_what_those_of_scikit_learn_predict(bench: Bench, family: str, kind: str) -> None:
    data, others = examples(kind).select(list(range(25))), examples(kind)
    fit, method = fit_on(data, kind), KNN(KNN.Config(k=3))
    model = method.run(method.prepare(load_model(bench.encoders[family], fit.task, 1), fit), fit)
    neighbours = model.addition
    assert isinstance(neighbours, Neighbours)
    with torch.no_grad():
        inputs = {name: tensor for name, tensor in others.batch(torch.arange(len(others))).items() if name != "labels"}
        embedded = neighbours.embed(**inputs).numpy()
    stored = neighbours.examples.detach().numpy()
    oracle = (KNeighborsRegressor if kind == "numbers" else KNeighborsClassifier)(3, algorithm="brute", metric="cosine")
    expected = oracle.fit(stored, data.labels.numpy()).predict(embedded)
    numpy.testing.assert_allclose(predict(model, others, fit).predictions, expected, atol=1e-6)


def test_all_examples_vote_if_they_are_fewer_than_k(bench: Bench) -> None:
    data = examples("classes").select([0, 1, 2])
    fit, method = fit_on(data, "classes"), KNN()
    model = method.run(method.prepare(load_model(bench.encoders["bert"], fit.task, 1), fit), fit)
    logits = predict(model, data, fit).logits
    assert (logits == logits[0]).all()
    numpy.testing.assert_allclose(numpy.exp(logits).sum(axis=1), 1.0, atol=1e-6)
