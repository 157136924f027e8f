"""Plain finetuning: the reference with which every other method is paired."""

from amix.training.method import Method
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class Vanilla(Method):
    """Finetune everything with bias-corrected AdamW, linear warm-up and decay, clipping and dropout.

    Mosbach et al. (2021) show that bias correction and enough steps make this a strong baseline; the recipe sets the
    number of steps. Departs from the published runs in the form of AdamW (decay before the update, as in torch).

    Official options that change numbers (uds-lsv/bert-stable-fine-tuning, configs): see longer, which takes more of
    them.
    """

    name = "vanilla"
    info = MethodInfo(
        paper="Devlin et al., NAACL 2019; Mosbach et al., ICLR 2021",
        year=2019,
        kind="finetuning",
        parity="departs: torch's AdamW, which decays before the update",
        null={},
    )
