"""Match-Tuning: the examples of a batch take part in each other's representation."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor, nn

from amix.data import Batch
from amix.method import Method, MethodError, Model, register
from amix.modules import blocks
from amix.training import Fit
from baselines.hidden_states import changed_inputs, changed_outputs, embedding_layer


@register
class MatchTuning(Method):
    """Match-Tuning: R <- softmax(R R^T / temperature) R during training, R [batch, hidden] what the head reads.

    Tong et al. (2022), section 3. Of the official code (tongshoujie/MATCH-TUNING, code.py) only the fragment around
    this formula was published: R is a linear map of the first token's state. That map is the one in the pooler or head
    (BERT, RoBERTa, DeBERTa), before its activation; where there is none, as with mean pooling, R is the input of the
    output layer. The temperature is not documented; 1 is ours. Evaluation does not mix, so that a prediction does not
    depend on the examples beside it.
    """

    @dataclass(frozen=True)
    class Config:
        """temperature: tau; the smaller, the more an example keeps of its own representation."""

        temperature: float = 1.0

        def __post_init__(self) -> None:
            if self.temperature <= 0:
                raise MethodError(f"the temperature must be positive, not {self.temperature}")

    name = "match_tuning"
    paper = "Tong et al., IJCAI 2022"
    year = 2022
    kind = "smoothness"
    parity = "matched: the published fragment and its gradients to 5e-16 (match_tuning)"
    grid = {"temperature": (0.1, 1.0, 10.0, 100.0)}

    def matched(self, representations: Tensor) -> Tensor:
        """Each row as a mean of all rows [batch, hidden], weighted by similarity."""
        similarity = representations @ representations.T / self.config.temperature
        return similarity.softmax(dim=-1) @ representations

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of the mixed representations."""
        with self.mixing(model):
            return super().loss(model, batch, fit)

    def mixing(self, model: Model) -> AbstractContextManager[None]:
        """Inside, the model mixes its batch."""
        *dense, output = top_linears(model)
        return changed_outputs(dense[-1:], self.matched) if dense else changed_inputs([output], self.matched)


def top_linears(model: Model) -> list[nn.Linear]:
    """The linear layers above the blocks in their order: those of pooler and head."""
    below = {id(part) for module in (embedding_layer(model), *blocks(model)) for part in module.modules()}
    return [part for part in model.modules() if isinstance(part, nn.Linear) and id(part) not in below]
