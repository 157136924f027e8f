"""LoRA with a scale that suits large ranks."""

from dataclasses import replace

from amix.training.registry import register
from baselines.parameter_efficient.lora import LoRA


@register
class RsLoRA(LoRA):
    """rsLoRA: LoRA scaled by alpha / sqrt(rank), so that larger ranks keep learning.

    Kalajdzievski (2023), theorem 3.2, through peft. At rank 8 its scale is 2.8 times lora's; it is meant for larger
    ranks. No official code was found; the options are lora's.
    """

    name = "rslora"
    info = replace(
        LoRA.info,
        paper="Kalajdzievski, arXiv 2023",
        year=2023,
        grid={"rank": (8, 32, 64), "lr": (2e-4, 5e-4, 1e-3)},
        toy_settings={"lr": 2e-2},
    )
    variant = {"use_rslora": True}
