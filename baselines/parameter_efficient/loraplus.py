"""LoRA+: separate learning rates for the two factors of LoRA."""

from dataclasses import dataclass, replace

from typing_extensions import override

from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.registry import register
from baselines.parameter_efficient._peft import at_own_lr
from baselines.parameter_efficient.lora import LoRA


@dataclass(frozen=True)
class LoRAPlusConfig(LoRA.Config):
    """As in lora. ratio: learning rate of B relative to A's. lr: of A and the head."""

    lr: float | None = 2e-4
    ratio: float = 16.0

    def __post_init__(self) -> None:
        if self.ratio <= 0:
            raise MethodError(f"LoRA+ needs a ratio above 0, not {self.ratio}")


@register
class LoRAPlus(LoRA):
    """LoRA+: W = W0 + (alpha / rank) B A with the learning rate of B `ratio` times that of A.

    Hayou et al. (2024), section 4: in the limit of wide layers both factors learn features only if B's rate is larger;
    they recommend a ratio near 16. Equal to lora at ratio 1. Departs from their code (and from peft's
    create_loraplus_optimizer) in parameters that are neither A nor B: there vectors, such as the head's bias, have B's
    rate; here the head has A's. The ratio requires a smaller rate for A than in lora; 2e-4 is ours.

    Official options that change numbers (lora_plus.py): loraplus_lr_ratio is `ratio`; lora_rank, lora_alpha,
    lora_dropout (16 and 0.1 there) and target_modules are lora's settings; loraplus_lr_embedding is a rate of adapted
    embeddings, and none is adapted here; lora_use_original_init is not available here.
    """

    Config = LoRAPlusConfig
    name = "loraplus"
    info = replace(
        LoRA.info,
        paper="Hayou et al., ICML 2024",
        year=2024,
        grid={"ratio": (4.0, 16.0), "lr": (1e-4, 2e-4, 5e-4)},
        toy_settings={"lr": 1e-2, "ratio": 2.0, "alpha": 16.0},
    )

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """lora's groups, with B in separate groups."""
        large = {id(parameter) for name, parameter in model.named_parameters() if "lora_B" in name}
        rate = fit.recipe.lr if self.config.lr is None else self.config.lr
        plain = Method.param_groups(self, model, fit)
        rest = [group | {"params": [p for p in group["params"] if id(p) not in large]} for group in plain]
        of_b = [group | {"params": [p for p in group["params"] if id(p) in large]} for group in plain]
        groups = at_own_lr(rest, rate) + at_own_lr(of_b, rate * self.config.ratio)
        return [group for group in groups if group["params"]]
