"""LoRA with a trained norm for every output unit."""

from dataclasses import replace

from amix.training.registry import register
from baselines.parameter_efficient.lora import LoRA


@register
class DoRA(LoRA):
    """DoRA: W = m (W0 + (alpha / rank) B A) / ||W0 + (alpha / rank) B A||, norms per output unit, with m trained too.

    Liu et al. (2024), section 4, through peft; m starts as the norms of W0, so that W starts as W0. Settings as in
    lora, with which the paper compares at equal ranks and learning rates.

    Official options that change numbers (NVlabs/DoRA, commonsense_reasoning/finetune.py): lora_r, lora_alpha,
    lora_dropout and target_modules are `rank`, `alpha`, `dropout` and `targets`; dora_simple, their default, takes the
    norm as a constant in the gradient, as peft always does; Wdecompose_target_modules, layers of which only m trains,
    is not available here.
    """

    name = "dora"
    info = replace(
        LoRA.info,
        paper="Liu et al., ICML 2024",
        year=2024,
        toy_settings={"lr": 2e-2, "alpha": 16.0},
    )
    variant = {"use_dora": True}
