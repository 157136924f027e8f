"""Plain finetuning: the reference that every other method is paired with."""

from amix.training.method import Method
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class Vanilla(Method):
    """Finetune everything with bias-corrected AdamW, linear warm-up and decay, clipping and dropout.

    Mosbach et al. (2021) show that bias correction and enough steps make this a strong baseline; how many steps is
    the recipe's business. Departs from the published runs in AdamW's form (decay before the update, as in torch).
    """

    name = "vanilla"
    info = MethodInfo(
        paper="Devlin et al., NAACL 2019; Mosbach et al., ICLR 2021",
        year=2019,
        kind="finetuning",
        parity="departs: torch's AdamW, which decays before the update",
        null={},
    )
