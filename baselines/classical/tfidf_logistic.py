"""Logistic regression on TF-IDF: a floor that uses no pretrained knowledge of language."""

from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import nn
from typing_extensions import override

from amix.data.encoded import Encoded
from amix.models.architecture import embeddings
from amix.models.with_addition import EncoderWithAddition
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical._linear import Linear, write


class BagOfTokens(nn.Module):
    """A linear classifier on the TF-IDF weights of a text's tokens, scaled to unit length.

    Export writes the source of this class next to its weights, so that it may use only torch, nn, functional and Any.

    Args:
        vocabulary: Number of tokens.
        outputs: Number of logits.
    """

    def __init__(self, vocabulary: int, outputs: int) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {"vocabulary": vocabulary, "outputs": outputs}
        self.weight = nn.Embedding(vocabulary, outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.idf: torch.Tensor
        self.register_buffer("idf", torch.ones(vocabulary))

    @override
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> torch.Tensor:
        """Logits [batch, outputs], summed over occurrences of tokens, so that no tensor has the vocabulary's length."""
        idf = self.idf[input_ids] * attention_mask
        same = (input_ids.unsqueeze(1) == input_ids.unsqueeze(2)) * attention_mask.unsqueeze(1)
        length = (same.sum(dim=2) * idf.square()).sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        return (self.weight(input_ids) * (idf / length).unsqueeze(2)).sum(dim=1) + self.bias

    def get_input_embeddings(self) -> nn.Module:
        """The weights, one row per token."""
        return self.weight


@register
class TfidfLogistic(Linear):
    """Logistic (or ridge) regression on TF-IDF of the encoder's tokens: a floor without pretraining.

    Weights by Sparck Jones (1972), in scikit-learn's form: count * (ln((1 + n) / (1 + df)) + 1), scaled to unit length.
    A pair of texts is one bag; special tokens count like any other. Only the encoder's tokenizer is used.

    No official code.
    """

    @dataclass(frozen=True)
    class Config:
        """C: inverse regularisation strength. iterations: upper bound."""

        C: float = 10.0
        iterations: int = 2000

    name = "tfidf_logistic"
    info = MethodInfo(
        paper="Sparck Jones, J. Documentation 1972",
        year=1972,
        kind="classical",
        parity="no official code; scikit-learn's features and solver, predictions equal its own",
        passes=0.0,
        plain_checkpoint=False,
        trains_by_steps=False,
        grid={"C": (0.1, 1.0, 10.0, 100.0)},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Replace the encoder by a bag of tokens."""
        table = embeddings(model)
        assert isinstance(table, nn.Embedding)
        return EncoderWithAddition(None, BagOfTokens(table.num_embeddings, fit.task.outputs).to(fit.device))

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Count and weight the tokens, fit, and write the solution into the model."""
        from sklearn.feature_extraction.text import TfidfTransformer

        bag = model.addition
        assert isinstance(bag, BagOfTokens)
        with fit.cost.timed("train"):
            transformer = TfidfTransformer()
            features = transformer.fit_transform(token_counts(fit.train, bag.weight.num_embeddings))
            weights, biases = self.solve(features, fit.train.targets, fit)
            write(bag.idf, transformer.idf_)
            write(bag.weight.weight, weights.T)
            write(bag.bias, biases)
        self.note(model, fit)
        return model


def token_counts(data: Encoded, vocabulary: int) -> Any:
    """How often each token occurs in each text: a sparse matrix [n, vocabulary]."""
    from scipy.sparse import csr_matrix

    rows, columns = numpy.nonzero(data.inputs["attention_mask"].numpy())
    tokens = data.inputs["input_ids"].numpy()[rows, columns]
    return csr_matrix((numpy.ones(len(rows)), (rows, tokens)), shape=(len(data), vocabulary))
