"""One row for every tuner of the installed peft: `peft: {tuner: name, options: [key=value, ...]}`.

Of peft 0.21 these pass (tests/baselines/test_peft_tuners.py: train, repeat to the bit, export with the same logits):

    adamss boft c3a deft delora fourierft frod glora gralora hira hra loha lokr lora miss oft osf peanut psoft pvera
    randlora road shira supertuning tinylora unilora vblora vera waveft

and these starts of lora (`init_lora_weights=...`): gaussian olora orthogonal pissa mica. Why the others do not:
REFUSED, STARTS_REFUSED.
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
    "adalora": "its budget has to be told of every update; the row adalora does so",
    "adaption_prompt": "peft has it for decoders of the LLaMA kind only",
    "beft": "query and value are not its targets; the row beft names those",
    "cartridge": "it is a cache of keys and values for generating models",
    "cpt": "peft has it for causal language models only",
    "ia3": "query and value are not its targets; the row ia3 names those",
    "lily": "it cannot be merged into the weights, so that there is no plain checkpoint",
    "ln_tuning": "query and value are not its targets; the row ln_tuning names those",
    "multitask_prompt_tuning": "it puts vectors before the text instead of changing weights, for many tasks at once",
    "p_tuning": "it puts vectors before the text instead of changing weights; the row p_tuning does so",
    "poly": "its inputs need the number of a task",
    "prefix_tuning": "it puts vectors before keys and values instead of changing weights; the row prefix does so",
    "prompt_tuning": "it puts vectors before the text instead of changing weights; the row prompt does so",
    "shadow": "its states are pairs, which the encoders' attention cannot read",
    "trainable_tokens": "it trains rows of the embedding for tokens that have to be named",
    "xlora": "it mixes adapters that have been trained before",
}
"""Tuners of peft 0.21 that are no rows here, and why."""
STARTS_REFUSED = {
    "corda": "it needs covariances of activations, collected in passes over data before",
    "eva": "it needs the activations of passes over data before",
    "loftq": "it is for quantised weights",
    "lora_ga": "it needs the gradients of passes over data before",
}
"""Starts of lora in peft 0.21 that are not possible here, and why."""


@register
class Peft(PeftMethod):
    """A frozen body with any of peft's tuners in it, by name, with peft's defaults for what `options` leaves out.

    options are fields of the tuner's configuration, each as key=value with YAML's values: `r=4`,
    `init_lora_weights=olora`. Tuned are the query and value projections unless `targets` or an option says otherwise.
    peft's defaults fit layers of several hundred features and more; narrower ones need smaller ranks or blocks, and the
    tuner's own words say so. Random numbers that a tuner draws from a seed among its options are the same in all runs
    until the option is set. Tuners that cannot do what a row has to are refused with the reason (REFUSED).
    """

    @dataclass(frozen=True)
    class Config:
        """tuner: peft's name of it, in lower case. lr: null takes the recipe's."""

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
        """What would be accepted and then not done."""
        start = given.get("init_lora_weights")
        if isinstance(start, str) and start in STARTS_REFUSED:
            raise MethodError(f"init_lora_weights={start} is not possible here: {STARTS_REFUSED[start]}")
        if given.get("use_asa"):
            raise MethodError("use_asa=true is not possible here: its budget has to be told of every update")


def configurations() -> dict[str, Any]:
    """Configuration class of every tuner that peft can put into a model and that is possible here, by name."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    found = {kind.value.lower(): kind for kind in PEFT_TYPE_TO_TUNER_MAPPING if kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    return {name: PEFT_TYPE_TO_CONFIG_MAPPING[kind] for name, kind in found.items() if name not in REFUSED}


def parsed(options: tuple[str, ...]) -> dict[str, Any]:
    """Options by name, with YAML's values."""
    pairs = (option.partition("=") for option in options)
    return {name.strip(): yaml_value(value) for name, _, value in pairs}
