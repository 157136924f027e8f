"""Any tuner of the installed peft as a row: `peft: {tuner: name, options: [key=value, ...]}`.

Of peft 0.21 these pass (tests/baselines/test_peft_tuners.py: train, repeat bit for bit, export with equal logits):

    adamss boft c3a deft delora fourierft frod glora gralora hira hra loha lokr lora miss oft osf peanut psoft pvera
    randlora road shira supertuning tinylora unilora vblora vera waveft

and these initialisations of lora (`init_lora_weights=...`): gaussian olora orthogonal pissa mica. For the others see
REFUSED and STARTS_REFUSED.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from amix.specs.suggestions import nearest
from amix.specs.yaml_files import yaml_value
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PeftMethod, attention_targets

REFUSED = {
    "adalora": "its budget must be updated at every step; use the method adalora",
    "adaption_prompt": "peft supports it only for decoders like LLaMA",
    "beft": "query and value are not its targets; use the method beft",
    "cartridge": "it is a cache of keys and values for generating models",
    "cpt": "peft supports it only for causal language models",
    "ia3": "query and value are not its targets; use the method ia3",
    "lily": "it cannot be merged into the weights of a plain checkpoint",
    "ln_tuning": "query and value are not its targets; use the method ln_tuning",
    "multitask_prompt_tuning": "it prepends vectors to the text instead of changing weights, for many tasks at once",
    "p_tuning": "it prepends vectors to the text instead of changing weights; use the method p_tuning",
    "poly": "it needs a task number among its inputs",
    "prefix_tuning": "it prepends vectors to keys and values instead of changing weights; use the method prefix",
    "prompt_tuning": "it prepends vectors to the text instead of changing weights; use the method prompt",
    "shadow": "its hidden states are pairs, which the encoders' attention cannot read",
    "trainable_tokens": "it trains embeddings of tokens that must be listed",
    "xlora": "it mixes adapters that have been trained beforehand",
}
"""Tuners of peft 0.21 that are not possible here, and why."""
STARTS_REFUSED = {
    "corda": "it needs covariances of activations from passes over the data beforehand",
    "eva": "it needs activations from passes over the data beforehand",
    "loftq": "it is for quantised weights",
    "lora_ga": "it needs gradients from passes over the data beforehand",
}
"""Initialisations of lora in peft 0.21 that are not possible here, and why."""


@register
class Peft(PeftMethod):
    """A frozen body with any of peft's tuners, by name, with peft's defaults where `options` says nothing.

    options are fields of the tuner's configuration, each as key=value with a YAML value: `r=4`,
    `init_lora_weights=olora`. The query and value projections are tuned unless `targets` or an option says otherwise.
    peft's defaults suit layers of several hundred features or more; narrower ones need smaller ranks or blocks, and the
    tuner's own error message says so. If one of a tuner's options is a seed, its random numbers are the same in all
    runs unless the option is set. Tuners that do not fit the contract are refused with the reason (REFUSED).
    """

    @dataclass(frozen=True)
    class Config:
        """tuner: peft's name for it, in lower case. lr: null uses the recipe's. targets: last parts of module names."""

        tuner: str = "lora"
        options: tuple[str, ...] = ()
        lr: float | None = 5e-4
        targets: tuple[str, ...] = ()

        def __post_init__(self) -> None:
            if self.tuner in REFUSED:
                raise MethodError(f"peft's '{self.tuner}' is not possible here: {REFUSED[self.tuner]}")
            for option in self.options:
                if not option.partition("=")[2]:
                    raise MethodError(f"peft's option '{option}' is not of the form key=value")

    name = "peft"
    info = MethodInfo(
        paper="Mangrulkar et al., PEFT, 2022",
        year=2022,
        kind="parameter-efficient",
        parity="departs: peft's implementation, the official codes of its tuners were not run",
        grid={"lr": (2e-4, 5e-4, 1e-3, 5e-3)},
        toy_settings={"tuner": "lora", "options": ("lora_alpha=16",), "lr": 2e-2},
    )

    def settings(self, model: Model, fit: Fit) -> Any:
        """The tuner's configuration."""
        configuration = configurations()
        tuner = self.config.tuner
        if tuner not in configuration:
            raise MethodError(f"the installed peft has no tuner '{tuner}'; {nearest(tuner, sorted(configuration))}")
        fields = {field.name for field in dataclasses.fields(configuration[tuner])}
        given = parsed(self.config.options)
        self.refuse(given)
        for name in given:
            if name not in fields:
                raise MethodError(f"peft's tuner '{tuner}' has no option '{name}'; {nearest(name, sorted(fields))}")
        if "target_modules" in fields:
            targets = list(self.config.targets) or attention_targets(model)
            given = {"target_modules": targets} | given
        try:
            return configuration[tuner](**given)
        except (TypeError, ValueError) as error:
            raise MethodError(f"peft's tuner '{tuner}' with {given}: {error}") from error

    def refuse(self, given: dict[str, Any]) -> None:
        """Refuse options that peft would accept without effect here.

        Raises:
            MethodError: With the option and the reason.
        """
        start = given.get("init_lora_weights")
        if isinstance(start, str) and start in STARTS_REFUSED:
            raise MethodError(f"init_lora_weights={start} is not possible here: {STARTS_REFUSED[start]}")
        if given.get("use_asa"):
            raise MethodError("use_asa=true is not possible here: its budget must be updated at every step")


def configurations() -> dict[str, Any]:
    """Configuration classes of all tuners that are possible here, by name."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    kinds = {kind.value.lower(): kind for kind in PEFT_TYPE_TO_TUNER_MAPPING if kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    return {name: PEFT_TYPE_TO_CONFIG_MAPPING[kind] for name, kind in kinds.items() if name not in REFUSED}


def parsed(options: tuple[str, ...]) -> dict[str, Any]:
    """The options' YAML values, by name."""
    pairs = (option.partition("=") for option in options)
    return {name.strip(): yaml_value(value) for name, _, value in pairs}
