"""Linear probing: only the head trains."""

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import backbone
from amix.training.fit import Fit
from amix.training.method import Groups, Method, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class LinearProbe(Method):
    """Linear probing: train the head alone, on the features of the frozen body without dropout.

    BERT's pretrained pooler belongs to the body and stays frozen; the heads of RoBERTa and DeBERTa-v2 begin with a new
    dense layer, which trains, so that their probe is not linear. Alain and Bengio (2017), section 3. The method has its
    own learning rate, because full finetuning's does not move a new head far (`lr: null` uses the recipe's). The
    paper's probes are trained to convergence, for which a few epochs are a small budget.

    No official code.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: learning rate of the head."""

        lr: float | None = 1e-3

    name = "linear_probe"
    info = MethodInfo(
        paper="Alain and Bengio, ICLR Workshop 2017",
        year=2017,
        kind="layers",
        parity="no official code",
        passes=0.5,  # A forward pass, and a backward pass that ends below the head.
        whole_passes=False,
        micro_batches=True,
        grid={"lr": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)},
        toy_settings={"lr": 3e-2},
        toy_epochs=40,
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze the body."""
        backbone(model).requires_grad_(False)
        return model

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """The head, at the method's learning rate."""
        groups = super().param_groups(model, fit)
        return groups if self.config.lr is None else [group | {"lr": self.config.lr} for group in groups]

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss in evaluation mode, so that an example has the same features in every epoch."""
        model.eval()
        return super().loss(model, batch, fit)
