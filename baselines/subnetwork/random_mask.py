"""Control: a random fixed mask."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.subnetwork._fixed_mask import GRID, NULL, FixedMask


@register
class RandomMask(FixedMask):
    """Control for methods with a fixed mask: train a random share of the weights, drawn once per seed.

    If the choice of weights does not matter, this does as well as a chosen mask of the same size. Xu et al. (2021) and
    Sung et al. (2021) compare with it; official code of the latter: varunnair18/FISH, transformers/examples/
    text-classification/run_glue_sparse_update.py, create_mask_random. A share of 0.005 learns little in 3 epochs.

    Official options that change numbers: mask_method random selects this row and keep_ratio is `share`; for the others
    see fish_mask.
    """

    name = "random_mask"
    info = MethodInfo(
        paper="control (Sung et al., NeurIPS 2021)",
        year=2021,
        kind="subnetwork",
        parity="departs: the official numbers need its own stream of random draws",
        null=NULL,
        grid=GRID,
        toy_settings={"share": 0.3, "lr": None},
    )

    @override
    def importance(self, model: Model, fit: Fit, body: list[nn.Parameter]) -> list[Tensor]:
        """Uniform random scores."""
        generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)
        return [torch.empty_like(parameter).uniform_(generator=generator) for parameter in body]
