"""Nearest neighbours among frozen embeddings."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import evaluation_batches
from amix.models.with_addition import EncoderWithAddition
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical._linear import Fitted
from baselines.classical._own_encoder import WithEncoder, encoder_and_pooling


class Neighbours(WithEncoder):
    """An encoder, the embeddings of the training examples, and their labels.

    Export writes the source of this class next to its weights, so that it may use only torch, nn, functional and Any.

    Args:
        configuration: See WithEncoder.
        pooling: See WithEncoder.
        examples: Number of training examples.
        outputs: Number of classes, or 1 for regression.
        k: Number of neighbours.
        classes: Whether the labels are classes.
    """

    def __init__(self, configuration: str, pooling: str, examples: int, outputs: int, k: int, classes: bool) -> None:
        super().__init__(configuration, pooling)
        self.arguments |= {"examples": examples, "outputs": outputs, "k": k, "classes": classes}
        self.k, self.classes = k, classes
        self.examples = nn.Parameter(torch.zeros(examples, self.encoder.config.hidden_size))
        self.answers: torch.Tensor
        self.register_buffer("answers", torch.zeros(examples, outputs))

    def embed(self, **inputs: Any) -> torch.Tensor:
        """Embeddings of unit length, [batch, width]."""
        return functional.normalize(self.pooled(**inputs).float(), dim=-1)

    @override
    def forward(self, **inputs: Any) -> torch.Tensor:
        """Mean label of the k neighbours [batch, 1], or log-probabilities [batch, classes], smoothed by half a vote."""
        similarity = self.embed(**inputs) @ self.examples.T
        nearest = similarity.topk(self.k, dim=-1).indices
        mean = self.answers[nearest].mean(dim=1)
        if not self.classes:
            return mean
        return ((self.k * mean + 0.5 / mean.shape[1]) / (self.k + 0.5)).log()


@register
class KNN(Fitted):
    """k nearest neighbours: the vote, or mean label, of the nearest training examples, with the frozen encoder.

    Similarity is the cosine of the embeddings: the mean of the token states for encoders that pool this way, otherwise
    the first token's state. With K classes, p = (votes + 1 / (2 K)) / (k + 1/2), so that no class has probability 0;
    ties go to the first class. Cover and Hart (1967). With fewer than k examples, all of them vote. Encoder and
    examples are exported together, because no linear head can represent them.

    No official code.
    """

    @dataclass(frozen=True)
    class Config:
        """k: number of neighbours; if odd, two classes cannot tie."""

        k: int = 5

        def __post_init__(self) -> None:
            if self.k < 1:
                raise MethodError(f"knn needs k of at least 1, not {self.k}")

    name = "knn"
    info = MethodInfo(
        paper="Cover and Hart, IEEE Trans. Information Theory 1967",
        year=1967,
        kind="classical",
        parity="no official code; predictions equal those of scikit-learn's neighbours",
        passes=0.0,
        plain_checkpoint=False,
        trains_by_steps=False,
        grid={"k": (1, 3, 5, 9, 15)},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Replace the head by a table of the training examples."""
        body, configuration, pooling = encoder_and_pooling(model, pooler=False)
        neighbours = Neighbours(
            configuration,
            pooling,
            len(fit.train),
            fit.task.outputs,
            min(self.config.k, len(fit.train)),
            not fit.task.regression,
        )
        neighbours.encoder = body.requires_grad_(False)
        return EncoderWithAddition(None, neighbours.to(fit.device))

    @torch.no_grad()
    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Embed the examples and store them with their labels."""
        neighbours = model.addition
        assert isinstance(neighbours, Neighbours)
        model.eval()
        with fit.cost.timed("train"):
            for positions in evaluation_batches(fit.train):
                batch = fit.train.batch(positions, fit.device)
                labels = batch.pop("labels")
                neighbours.examples[positions.to(fit.device)] = neighbours.embed(**batch)
                neighbours.answers[positions.to(fit.device)] = self.answers(labels, fit)
        self.note(model, fit)
        return model

    def answers(self, labels: Tensor, fit: Fit) -> Tensor:
        """Labels as [n, outputs]: one-hot classes, or numbers."""
        if fit.task.regression:
            return labels.float().unsqueeze(1)
        return functional.one_hot(labels, fit.task.outputs).float()
