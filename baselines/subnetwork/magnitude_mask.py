"""Control: a fixed mask of the largest weights."""

from dataclasses import dataclass

from torch import Tensor, nn
from typing_extensions import override

from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.subnetwork._fixed_mask import GRID, NULL, FixedMask, MaskConfig


@register
class MagnitudeMask(FixedMask):
    """Control for methods with a fixed mask: train the pretrained weights with the largest magnitude |w|.

    It uses no data, so that a mask computed from gradients should do better. `smallest` trains the weights near zero,
    which magnitude pruning would remove (Han et al. 2015, section 3). LayerNorm's weights, near one, are chosen first.

    No official code.
    """

    @dataclass(frozen=True)
    class Config(MaskConfig):
        """smallest: train the smallest magnitudes instead."""

        smallest: bool = False

    name = "magnitude_mask"
    info = MethodInfo(
        paper="control (Han et al., NIPS 2015)",
        year=2015,
        kind="subnetwork",
        parity="no official code",
        null=NULL,
        grid=GRID,
        toy_settings={"share": 0.3, "lr": None},
    )

    @override
    def importance(self, model: Model, fit: Fit, body: list[nn.Parameter]) -> list[Tensor]:
        """Magnitudes, or their negatives."""
        magnitudes = [parameter.detach().abs() for parameter in body]
        return [magnitude.neg_() for magnitude in magnitudes] if self.config.smallest else magnitudes
