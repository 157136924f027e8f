"""VeRA: learned scales of frozen random projections."""

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from amix.random_streams import derive
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PARITY, PeftMethod


@register
class VeRA(PeftMethod):
    """VeRA: W = W0 + diag(b) B diag(d) A, with A and B random, frozen and shared by all layers; b and d train.

    Kopiczko et al. (2024), section 3, through peft, on the query and value projections; b starts at 0, d at 0.1. Rank
    and d are peft's; A and B depend on the run's seed. It needs a larger learning rate than lora; the value is ours.

    No official code was found. Of peft's options r is `rank`, d_initial `initial`, vera_dropout `dropout`,
    target_modules `targets`; projection_prng_key follows from the run's seed; bias, init_weights, layers_to_transform
    and layers_pattern are available in the row peft.
    """

    @dataclass(frozen=True)
    class Config:
        """initial: initial value of d. targets: last parts of names; empty for the query and value projections."""

        rank: int = 256
        initial: float = 0.1
        dropout: float = 0.0
        lr: float | None = 4e-3
        targets: tuple[str, ...] = ()

    name = "vera"
    info = MethodInfo(
        paper="Kopiczko et al., ICLR 2024",
        year=2024,
        kind="parameter-efficient",
        parity=PARITY,
        grid={"rank": (256, 1024), "lr": (4e-3, 1e-2, 2e-2)},
        toy_settings={"lr": 4e-2, "rank": 32},
        toy_epochs=15,
    )

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration: rank, initial values and targets."""
        from peft import VeraConfig

        return VeraConfig(
            r=self.config.rank,
            d_initial=self.config.initial,
            vera_dropout=self.config.dropout,
            projection_prng_key=derive(fit.seed, "method", "projections") % 2**31,
            target_modules=self.targets(model),
        )
