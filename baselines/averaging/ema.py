"""An exponential moving average of the weights."""

from dataclasses import dataclass

from typing_extensions import override

from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.averaging._averaging import Averaging


@register
class EMA(Averaging):
    """Exponential moving average of the weights: mean <- d * mean + (1 - d) * w after every update.

    Polyak and Juditsky (1992) average all iterates; the exponential form with d = 0.999 is that of Tarvainen and
    Valpola (2017), section 3. Early on d is (1 + t) / (10 + t) where that is smaller, as in TensorFlow's
    ExponentialMovingAverage, because a window of 1000 updates would still contain the pretrained weights at the end of
    a short run (`warm_up: false` keeps d constant).

    No official code. Of TensorFlow's options decay is `decay`, num_updates is counted with `warm_up`, and zero_debias,
    for means that start at 0, is not here.
    """

    @dataclass(frozen=True)
    class Config:
        """decay: d. warm_up: smaller d early on."""

        decay: float = 0.999
        warm_up: bool = True

    name = "ema"
    info = MethodInfo(
        paper="Polyak and Juditsky, SICON 1992; Tarvainen and Valpola, NeurIPS 2017",
        year=1992,
        kind="averaging",
        parity="no official code; the mean is checked against torch's AveragedModel",
        null={"decay": 0.0},
        grid={"decay": (0.9, 0.99, 0.999), "warm_up": (True, False)},
    )

    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Update the mean."""
        step = fit.step + 1
        decay = min(self.config.decay, (1 + step) / (10 + step)) if self.config.warm_up else self.config.decay
        self.approach(1 - decay)

    @override
    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """The mean."""
        return self.averaged
