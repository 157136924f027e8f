"""Several finetunings on one subset, whose logits are averaged."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from typing_extensions import override

from amix.models.architecture import initialise_head
from amix.models.mean_pooling import MeanPooledClassifier
from amix.models.with_addition import EncoderWithAddition
from amix.random_streams import tensor_generator
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register
from amix.training.weight_averaging import restore


class Members(nn.Module):
    """Several classifiers of one architecture, whose logits are averaged.

    Export writes the source of this class next to its weights, so that it may use only torch, nn, functional, Any and
    transformers.

    Args:
        configuration: Of each member, as JSON.
        count: Number of members.
        outputs: Logits of each member.
        mean: Whether the members read the mean of the token states; if so, `heads` holds their output layers.
    """

    def __init__(self, configuration: str, count: int, outputs: int, mean: bool) -> None:
        import json

        from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

        super().__init__()
        self.arguments: dict[str, Any] = {
            "configuration": configuration, "count": count, "outputs": outputs, "mean": mean
        }  # fmt: skip
        self.mean = mean
        settings = AutoConfig.for_model(**json.loads(configuration))
        kind: Any = AutoModel if mean else AutoModelForSequenceClassification
        self.members = nn.ModuleList(kind.from_config(settings).eval() for _ in range(count))
        self.heads = nn.ModuleList(nn.Linear(settings.hidden_size, outputs) for _ in range(count if mean else 0))
        for member in self.members if mean else ():
            if hasattr(member, "pooler"):
                member.pooler = None  # type: ignore[assignment]

    @override
    def forward(self, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Mean logits, [batch, outputs]."""
        outputs = [member(attention_mask=attention_mask, **inputs) for member in self.members]
        if not self.mean:
            return torch.stack([output.logits for output in outputs]).mean(dim=0)
        mask = attention_mask.unsqueeze(-1)
        pooled = [(output.last_hidden_state * mask).sum(1) / mask.sum(1) for output in outputs]
        return torch.stack([head(vector) for head, vector in zip(self.heads, pooled, strict=True)]).mean(dim=0)

    def get_input_embeddings(self) -> nn.Module:
        """The first member's token embedding."""
        table: nn.Module = self.members[0].get_input_embeddings()  # type: ignore[operator]
        return table


@register
class Ensemble(MultiStageMethod):
    """Deep ensemble: M plain finetunings on the same subset, whose logits are averaged.

    Lakshminarayanan et al. (2017), without their adversarial examples, and with an average of logits where they average
    probabilities. The members differ in the initial head, the order of the batches and the dropout masks, all derived
    from the run's seed; the first starts from plain finetuning's head, and with M = 1 the method is plain finetuning.
    An ensemble averages out the randomness that does not come from the data, at M times the cost, in training and in
    use.

    No official code.
    """

    @dataclass(frozen=True)
    class Config:
        """members: M."""

        members: int = 5

        def __post_init__(self) -> None:
            if self.members < 1:
                raise MethodError(f"an ensemble needs at least one member, not {self.members}")

    name = "ensemble"
    info = MethodInfo(
        paper="Lakshminarayanan et al., NeurIPS 2017",
        year=2017,
        kind="averaging",
        parity="no official code",
        passes=float(Config().members),
        micro_batches=True,
        null={"members": 1},
        plain_checkpoint=False,
        grid={"members": (3, 5, 10)},
        toy_settings={"members": 2},
    )

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Train every member from the same pretrained weights and combine them in one model."""
        if self.config.members == 1:
            return train(Method(), model, fit)
        start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        members = []
        for weights in self.stage_weights(model, fit):
            members.append({name: tensor.detach().cpu().clone() for name, tensor in weights.items()})
            restore(model, start)
        assert isinstance(model, PreTrainedModel)
        return combined(model, members, fit)

    @override
    def stages(self) -> int:
        """One stage per member; a single member is an ordinary run."""
        return int(self.config.members) if self.config.members > 1 else 0

    @override
    def run_stage(self, model: Model, fit: Fit, number: int) -> dict[str, Tensor]:
        """Plain finetuning of one member, with its own head, order of batches and dropout."""
        if number:
            deviation = float(getattr(model.config, "initializer_range", 0.02))
            initialise_head(model, deviation, tensor_generator(fit.seed, "method", "head", number))
        train(Method(), model, fit.for_stage(f"member-{number}"))
        return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """M trainings."""
        return float(self.config.members)


def combined(model: PreTrainedModel, trained: list[dict[str, Tensor]], fit: Fit) -> EncoderWithAddition:
    """One model of all members; trained: the weights of each, by name."""
    mean = isinstance(model, MeanPooledClassifier)
    configuration = model.config.to_json_string(use_diff=False)
    members = Members(configuration, len(trained), fit.task.outputs, mean)
    for number, weights in enumerate(trained):
        restore(model, weights)
        target: Any = members.members[number]
        if mean:
            target.load_state_dict(model.base_model.state_dict())
            members.heads[number].load_state_dict(model.get_submodule("classifier").state_dict())
        else:
            target.load_state_dict(model.state_dict())
    return EncoderWithAddition(None, members.to(fit.device).eval())
