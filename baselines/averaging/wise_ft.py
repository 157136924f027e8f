"""WiSE-FT: interpolation between the pretrained and the finetuned weights."""

from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from amix.models.architecture import head_names
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.averaging._averaging import Averaging


@register
class WiseFT(Averaging):
    """WiSE-FT: after finetuning, w = (1 - alpha) * w0 + alpha * w1 of the pretrained and the finetuned weights.

    Wortsman et al. (2022), section 3; official code: mlfoundations/wise-ft, src/wise_ft.py. They recommend alpha 0.5.
    Departs in the head: theirs starts as a zero-shot classifier and is interpolated too; ours starts at random and is
    used as finetuned (`interpolate_head` interpolates it too).

    Official options that change numbers (src/args.py): alpha is `alpha`, but several values, which mix more than two
    models, are not here, nor is ls, label smoothing; lr, wd, warmup_length, epochs and batch-size are the recipe's;
    freeze-encoder is the row linear_probe; template and classnames make their zero-shot classifier.
    """

    @dataclass(frozen=True)
    class Config:
        """alpha: 0 for the pretrained body, 1 for the finetuned one."""

        alpha: float = 0.5
        interpolate_head: bool = False

    name = "wise_ft"
    info = MethodInfo(
        paper="Wortsman et al., CVPR 2022",
        year=2022,
        kind="averaging",
        parity="departs: the head is not interpolated; with interpolate_head the formula of the official code",
        null={"alpha": 1.0},
        grid={"alpha": (0.3, 0.5, 0.7, 0.9)},
        toy_settings={"alpha": 0.8},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Store the pretrained weights."""
        super().on_fit_start(model, fit)
        head = set() if self.config.interpolate_head else head_names(model)
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        mean: dict[str, Any] = dict(zip(trained, self.mean, strict=True))
        self.interpolated = [tensor for name, tensor in mean.items() if name not in head]
        self.pretrained = [tensor.clone() for tensor in self.interpolated]

    @torch.no_grad()
    @override
    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """The model with the interpolated weights."""
        self.approach(1.0)
        torch._foreach_lerp_(self.interpolated, self.pretrained, 1 - self.config.alpha)
        return self.averaged
