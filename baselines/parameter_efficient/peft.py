"""Any tuner of the installed peft as a row: `peft: {tuner: name, options: [key=value, ...]}`."""

import dataclasses
import re
import warnings
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from amix.models.architecture import blocks
from amix.specs.recipe import Recipe
from amix.specs.suggestions import nearest
from amix.specs.task import Task
from amix.specs.yaml_files import yaml_value
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PeftMethod, check_targets

POSSIBLE = (
    "adamss", "boft", "c3a", "deft", "delora", "fourierft", "frod", "glora", "gralora", "hira", "hra", "loha", "lokr",
    "lora", "miss", "oft", "osf", "peanut", "psoft", "pvera", "randlora", "road", "shira", "supertuning", "tinylora",
    "unilora", "vblora", "vera", "waveft",
)  # fmt: skip
"""Tuners of peft 0.21 that pass tests: they train, repeat bit for bit and export a checkpoint with equal logits."""
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
WITHOUT_EFFECT = {
    "modules_to_save": "besides the tuner's own weights only the head trains",
    "inference_mode": "with it nothing but the head would train",
} | dict.fromkeys(
    ("auto_mapping", "base_model_name_or_path", "peft_type", "peft_version", "revision", "task_type"),
    "it describes a saved adapter, and models are saved as plain checkpoints",
)
"""Options of every tuner that would do nothing here, or not what they are for, and why."""


@register
class Peft(PeftMethod):
    """A frozen body with any of peft's tuners, by name, with peft's defaults where `options` says nothing.

    options are fields of the tuner's configuration, each as key=value with a YAML value: `r=4`,
    `init_lora_weights=olora`. The query and value projections are tuned unless `targets` or an option says otherwise.
    peft's defaults suit layers of several hundred features or more; narrower ones need smaller ranks or blocks, and the
    tuner's own error message says so. If one of a tuner's options is a seed, its random numbers are the same in all
    runs unless the option is set. Tuners that do not fit the contract are refused with the reason (REFUSED).

    Official options that change numbers (huggingface/peft, the tuner's configuration class): all of them through
    `options`, under their own names; target_modules also through `targets`. Refused are those that would have no effect
    (WITHOUT_EFFECT) and initialisations that need passes over the data beforehand (STARTS_REFUSED).
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
            if self.tuner not in POSSIBLE:
                raise MethodError(f"tuner: peft 0.21 has no '{self.tuner}'; {nearest(self.tuner, POSSIBLE)}")
            for option in self.options:
                if not option.partition("=")[2]:
                    raise MethodError(f"peft's option '{option}' is not of the form key=value")
            self.refuse(parsed(self.options))

        def refuse(self, given: dict[str, Any]) -> None:
            """Refuse options that peft would accept without effect here.

            Raises:
                MethodError: With the option and the reason.
            """
            for name in WITHOUT_EFFECT.keys() & given:
                raise MethodError(f"options: {name} is not possible here: {WITHOUT_EFFECT[name]}")
            start = given.get("init_lora_weights")
            if isinstance(start, str) and start in STARTS_REFUSED:
                raise MethodError(f"options: init_lora_weights={start} is not possible here: {STARTS_REFUSED[start]}")
            if given.get("use_asa"):
                raise MethodError("options: use_asa=true is not possible here: its budget changes at every step")
            if self.targets and "target_modules" in given:
                raise MethodError("options: target_modules is what `targets` is for; give one of them")

    name = "peft"
    info = MethodInfo(
        paper="Mangrulkar et al., PEFT, 2022",
        year=2022,
        kind="parameter-efficient",
        parity="departs: peft's implementation, the official codes of its tuners were not run",
        grid={"lr": (2e-4, 5e-4, 1e-3, 5e-3)},
        toy_settings={"tuner": "lora", "options": ("lora_alpha=16",), "lr": 2e-2},
    )

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """The tuner's configuration."""
        return self.configuration(model)

    def configuration(self, model: Model) -> Any:
        """The tuner's configuration for this model.

        Raises:
            MethodError: If an option is unknown, has an impossible value, or names something that the model lacks.
        """
        tuner, known = self.config.tuner, configurations()
        if tuner not in known:
            raise MethodError(f"tuner: the installed peft has no '{tuner}'; {nearest(tuner, sorted(known))}")
        fields = {field.name for field in dataclasses.fields(known[tuner])}
        given = parsed(self.config.options)
        for name in given:
            if name not in fields:
                raise MethodError(
                    f"options: peft's tuner '{tuner}' has no option '{name}'; {nearest(name, sorted(fields))}"
                )
        if "target_modules" in fields and "target_modules" not in given:
            given = {"target_modules": self.targets(model)} | given
        check_names(model, given)
        try:
            return known[tuner](**given)
        except (TypeError, ValueError) as error:
            raise MethodError(f"peft's tuner '{tuner}' with {given}: {error}") from error

    @override
    def check_encoder(self, model: Model, task: Task, recipe: Recipe) -> None:
        """Add the tuner to the model, as prepare will do.

        Raises:
            MethodError: If it does not fit; the reason is peft's.
        """
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

        settings = self.configuration(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                PEFT_TYPE_TO_TUNER_MAPPING[settings.peft_type](model, {"default": settings}, "default")
            except RuntimeError:  # Its start is computed from the weights, which are not there.
                return
            except (TypeError, ValueError, KeyError) as error:
                reason = " ".join(str(error).split())
                raise MethodError(f"peft's tuner '{self.config.tuner}' does not fit: {reason}") from error


def check_names(model: Model, options: dict[str, Any]) -> None:
    """Refuse options that name layers which the model does not have: peft skips a name if another one matches.

    Raises:
        MethodError: With the option and the name.
    """
    for option in ("target_modules", "exclude_modules"):
        if isinstance(options.get(option), list):
            check_targets(model, options[option], option)
    names = [name for name, _ in model.named_modules()]
    for option in ("rank_pattern", "alpha_pattern"):
        for pattern in options.get(option) or ():
            if not any(re.match(rf"(.*\.)?({pattern})$", name) for name in names):
                raise MethodError(f"{option}: no layer of {type(model).__name__} matches '{pattern}'")
    numbers, count = options.get("layers_to_transform"), len(blocks(model))
    for number in [numbers] if isinstance(numbers, int) else numbers or ():
        if number not in range(count):
            raise MethodError(f"layers_to_transform names block {number} of {count} (numbered from 0)")


def configurations() -> dict[str, Any]:
    """Configuration classes of all tuners that are possible here, by name."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING

    kinds = {kind.value.lower(): kind for kind in PEFT_TYPE_TO_TUNER_MAPPING if kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    return {name: PEFT_TYPE_TO_CONFIG_MAPPING[kind] for name, kind in kinds.items() if name not in REFUSED}


def parsed(options: tuple[str, ...]) -> dict[str, Any]:
    """The options' YAML values, by name."""
    pairs = (option.partition("=") for option in options)
    return {name.strip(): yaml_value(value) for name, _, value in pairs}
