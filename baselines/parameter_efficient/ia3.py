"""(IA)3: learned scales of keys, values and inner activations."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from typing_extensions import override

from amix.mixup.linears import block_linears
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import KEY_AND_VALUE, PARITY, PeftMethod, attention_targets


@register
class IA3(PeftMethod):
    """(IA)3: learned scales on the keys, on the values and on the inner activations of the feed-forward layers.

    Liu et al. (2022), section 3.3, through peft; all scales start at 1. peft's default targets for BERT also scale the
    input of the attention's output layer; we follow the paper. lr is the paper's, for Adafactor and 1000 updates.

    Official options that change numbers (r-three/t-few, configs/ia3.json, src/utils/Config.py): lora_modules and
    lora_layers are fixed as above; lr is `lr`; optimizer (Adafactor) and num_steps are the recipe's; lora_rank and
    lora_scaling_rank, a low-rank scale or addition, are not available here; unlikely_loss, mc_loss and length_norm
    belong to generative models.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: null uses the recipe's."""

        lr: float | None = 3e-3

    name = "ia3"
    info = MethodInfo(
        paper="Liu et al., NeurIPS 2022",
        year=2022,
        kind="parameter-efficient",
        parity=PARITY,
        grid={"lr": (1e-3, 3e-3, 1e-2)},
        toy_settings={"lr": 5e-2},
        toy_epochs=15,
    )

    @override
    def usual_targets(self, model: Model) -> list[str]:
        """Keys, values, and the layers that read the inner activations."""
        return [*attention_targets(model, KEY_AND_VALUE), *feedforward_outputs(model)]

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration."""
        from peft import IA3Config

        return IA3Config(target_modules=self.targets(model), feedforward_modules=feedforward_outputs(model))


def feedforward_outputs(model: nn.Module) -> list[str]:
    """Names of the second linear layers of the feed-forward parts: those with more inputs than outputs.

    Raises:
        MethodError: If there are none.
    """
    linears = block_linears(model).items()
    names = [name for name, linear in linears if linear.in_features > linear.out_features]
    if not names:
        raise MethodError(f"{type(model).__name__} has no feed-forward layer with more inputs than outputs")
    return names
