"""PiSSA: LoRA that starts at the largest singular values of the weights."""

from dataclasses import replace

from amix.training.registry import register
from baselines.parameter_efficient.lora import LoRA


@register
class PiSSA(LoRA):
    """PiSSA: W = W_res + (alpha / rank) B A with B = U_r S_r^(1/2) and A = S_r^(1/2) V_r' of W0 = U S V' at the start.

    W_res = W0 - B A is frozen, so that the model starts as pretrained and the directions of the largest singular values
    train. Meng et al. (2024), equations 2 to 4, through peft (init_lora_weights `pissa`). The paper sets alpha to the
    rank, as here. Other settings, the learning rate included, as in lora.

    Official options that change numbers (GraphPKU/PiSSA, train.py): lora_rank, lora_alpha (32 there by default) and
    target_modules (all linear layers there) are `rank`, `alpha` and `targets`; init_weights=pissa_niter_16, a faster
    approximate decomposition, is not available here, nor are the options for quantised weights. lora_dropout has to be
    0 there.
    """

    name = "pissa"
    info = replace(
        LoRA.info,
        paper="Meng et al., NeurIPS 2024",
        year=2024,
        toy_settings={"lr": 2e-2},
    )
    variant = {"init_lora_weights": "pissa"}
