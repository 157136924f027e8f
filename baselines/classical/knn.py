"""The nearest neighbours among frozen embeddings."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from amix.data.encoded import evaluation_batches
from amix.models.with_addition import Extended
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical._linear import Fitted
from baselines.classical._own_encoder import WithEncoder, encoder_and_pooling


class Neighbours(WithEncoder):
    """An encoder, the embeddings of the training examples, and what these say: class shares or numbers.

    configuration, pooling: see WithEncoder. outputs: classes, 1 for numbers. k: neighbours asked. Export writes the
    source of this class beside its weights, so that it uses torch, nn, functional and Any alone.
    """

    def __init__(self, configuration: str, pooling: str, examples: int, outputs: int, k: int, classes: bool) -> None:
        super().__init__(configuration, pooling)
        self.arguments |= {"examples": examples, "outputs": outputs, "k": k, "classes": classes}
        self.k, self.classes = k, classes
        self.examples = nn.Parameter(torch.zeros(examples, self.encoder.config.hidden_size))
        self.answers: torch.Tensor
        self.register_buffer("answers", torch.zeros(examples, outputs))

    def embed(self, **inputs: Any) -> torch.Tensor:
        """Embeddings of length 1, [batch, width]."""
        return functional.normalize(self.pooled(**inputs).float(), dim=-1)

    def forward(self, **inputs: Any) -> torch.Tensor:
        """Mean answer of the k neighbours: of classes the logarithm, one half-vote shared by all classes added."""
        similarity = self.embed(**inputs) @ self.examples.T
        nearest = similarity.topk(self.k, dim=-1).indices
        mean = self.answers[nearest].mean(dim=1)
        if not self.classes:
            return mean
        return ((self.k * mean + 0.5 / mean.shape[1]) / (self.k + 0.5)).log()


@register
class KNN(Fitted):
    """The vote of the k nearest training examples, or the mean of their numbers, on the encoder as it was pretrained.

    Nearness is the cosine of the embeddings: the mean of the token states for encoders pooled so, else the first
    token's state. p_k = (votes + 1 / (2 K)) / (k + 1/2) of K classes, so that no class has probability 0; ties go to
    the class named first. Cover and Hart (1967). With fewer examples than k, all of them vote. Encoder and examples are
    exported together: no linear head can hold them.
    """

    @dataclass(frozen=True)
    class Config:
        """k: neighbours; odd, so that two classes cannot tie."""

        k: int = 5

        def __post_init__(self) -> None:
            if self.k < 1:
                raise MethodError(f"at least one neighbour has to vote, not {self.k}")

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

    def prepare(self, model: Model, fit: Fit) -> Model:
        """The encoder with room for the examples in place of a head."""
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
        return Extended(None, neighbours.to(fit.device))

    @torch.no_grad()
    def run(self, model: Model, fit: Fit) -> Model:
        """Embed the examples, keep them and what they say."""
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
        """What examples say, [n, outputs]: their class as 0 and 1, or their number."""
        if fit.task.regression:
            return labels.float().unsqueeze(1)
        return functional.one_hot(labels, fit.task.outputs).float()
