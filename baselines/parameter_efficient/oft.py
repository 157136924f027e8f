"""Orthogonal finetuning."""

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from amix.specs.recipe import Share
from amix.specs.spec_model import Count
from amix.training.fit import Fit
from amix.training.method import Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PARITY, PeftMethod


@register
class OFT(PeftMethod):
    """Orthogonal finetuning: the input of W0 is rotated by a block-diagonal orthogonal R = (I - Q)(I + Q)^-1.

    Qiu et al. (2023), section 3.2, through peft, on the query and value projections as in lora; Q is skew-symmetric
    and starts at 0. The Cayley transform is exact here; peft's default truncates a series (`series_terms`, 5 there).
    The paper finetunes image generators, so that the block size is peft's and the lr ours.

    Official options that change numbers (Zeju1997/oft, oft-db/train_dreambooth_oft.py): r, the number of blocks, is the
    layer's width over `block_size`; coft, with eps the bound on the distance of R from the identity, is not here, but
    the row peft has both under their names, and block_share.
    """

    @dataclass(frozen=True)
    class Config:
        """block_size: rows per block. series_terms: 0 for the exact transform. lr: null uses the recipe's."""

        block_size: Count = 32
        series_terms: int = 0
        dropout: Share = 0.0
        lr: float | None = 1e-3
        targets: tuple[str, ...] = ()

    name = "oft"
    info = MethodInfo(
        paper="Qiu et al., NeurIPS 2023",
        year=2023,
        kind="parameter-efficient",
        parity=PARITY,
        grid={"block_size": (16, 32), "lr": (5e-4, 1e-3, 3e-3)},
        toy_settings={"lr": 5e-2},
    )

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration: blocks and targets."""
        from peft import OFTConfig

        return OFTConfig(
            oft_block_size=self.config.block_size,
            use_cayley_neumann=self.config.series_terms > 0,
            num_cayley_neumann_terms=max(1, self.config.series_terms),
            module_dropout=self.config.dropout,
            target_modules=self.targets(model),
        )
