"""Match-Tuning: each representation becomes a similarity-weighted mean over its batch."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import blocks
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._hidden_states import changed_inputs, changed_outputs, embedding_layer


@register
class MatchTuning(Method):
    """Match-Tuning: R <- softmax(R R^T / temperature) R during training, with R [batch, hidden] the head's input.

    Tong et al. (2022), section 3. Of the official code (tongshoujie/MATCH-TUNING, code.py) only the fragment around
    this formula was published: R is a linear map of the first token's state. We take the map of the pooler or head
    (BERT, RoBERTa, DeBERTa), before its activation; without one, as with mean pooling, R is the input of the output
    layer. The temperature is not documented; 1 is ours. At 1 the mean-pooled MiniLM keeps 99.9 % of each example (norms
    near 6), whereas short and similar vectors become almost equal, which leaves little to learn from: `cosine`, not in
    the paper, compares directions only, so that one temperature fits any encoder. Evaluation does not mix, so that a
    prediction does not depend on the rest of the batch. Official options that change numbers: none was published.
    """

    @dataclass(frozen=True)
    class Config:
        """temperature: tau; the smaller, the less an example is mixed with others. cosine: compare directions only."""

        temperature: float = 1.0
        cosine: bool = False

        def __post_init__(self) -> None:
            if self.temperature <= 0:
                raise MethodError(f"the temperature must be positive, not {self.temperature}")

    name = "match_tuning"
    info = MethodInfo(
        paper="Tong et al., IJCAI 2022",
        year=2022,
        kind="smoothness",
        parity="matched: the published fragment and its gradients",
        cases=("match_tuning*",),
        null={"temperature": 1e-9, "cosine": True},
        splits_batches=False,
        micro_batches=False,
        grid={"temperature": (0.05, 0.3, 1.0, 10.0), "cosine": (False, True)},
        toy_settings={"temperature": 0.01, "cosine": True},
    )

    def matched(self, representations: Tensor) -> Tensor:
        """Replace each row of [batch, hidden] by a mean of all rows, weighted by similarity."""
        compared = functional.normalize(representations, dim=-1) if self.config.cosine else representations
        similarity = compared @ compared.T / self.config.temperature
        return similarity.softmax(dim=-1) @ representations

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of the mixed representations."""
        with self.mixing(model):
            return super().loss(model, batch, fit)

    def mixing(self, model: Model) -> AbstractContextManager[None]:
        """Within the context, the model mixes its batch."""
        *dense, output = top_linears(model)
        return changed_outputs(dense[-1:], self.matched) if dense else changed_inputs([output], self.matched)


def top_linears(model: Model) -> list[nn.Linear]:
    """The linear layers of pooler and head, in order."""
    below = {id(part) for module in (embedding_layer(model), *blocks(model)) for part in module.modules()}
    return [part for part in model.modules() if isinstance(part, nn.Linear) and id(part) not in below]
