"""Scores of n-grams alone on the embedded tasks: the bar that a pretrained encoder has to clear."""

import csv

import numpy
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

from amix.data.metrics import score
from amix.data.rows import EMBEDDED_FOLDER
from amix.specs.task import Task

FOLDER = EMBEDDED_FOLDER


def read(task: Task, split: str) -> tuple[list[list[str]], numpy.ndarray]:
    """Texts (one list per text column) and labels [n] of a committed file."""
    with (FOLDER / task.folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = [float(row[task.label]) if task.regression else int(row[task.label]) for row in rows]
    return [[row[column] for row in rows] for column in task.text], numpy.array(labels)


def ngram_score(task: Task) -> float:
    """The task's primary metric on validation data for logistic regression (ridge for regression) on all train rows.

    Features are TF-IDF weights of word 1-grams and 2-grams; a pair has those of both sentences and their products,
    which are nonzero for words in common.
    """
    texts, labels = read(task, "train")
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+").fit(
        [text for column in texts for text in column]
    )
    classifier = Ridge() if task.regression else LogisticRegression(C=10, max_iter=2000)
    classifier.fit(_features(vectorizer, texts), labels)
    test_texts, test_labels = read(task, "validation")
    predictions = classifier.predict(_features(vectorizer, test_texts))
    return score(task.metrics, test_labels, predictions)[task.metrics[0]]


def _features(vectorizer: TfidfVectorizer, texts: list[list[str]]) -> sparse.csr_matrix:
    blocks = [vectorizer.transform(column) for column in texts]
    if len(blocks) == 2:
        product = blocks[0].multiply(blocks[1])
        blocks += [product, sparse.csr_matrix(product.sum(axis=1))]
    return sparse.csr_matrix(sparse.hstack(blocks))
