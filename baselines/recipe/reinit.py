"""Re-initialising the top layers before finetuning."""

from dataclasses import dataclass

from typing_extensions import override

from amix.models.architecture import blocks, initialise, pretrained_pooler
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class ReInit(Method):
    """Re-initialise the top L blocks and the pooler: weights N(0, sd), biases 0, LayerNorms 1 and 0.

    Zhang et al. (2021), section 5; official code: asappresearch/revisit-bert-finetuning, run_glue.py. The standard
    deviation is the encoder's own (0.02 for BERT). The paper chooses L from 1 to 6 of 24 blocks on validation data, and
    its sample script for RTE uses 5; the default of 1 suits six blocks, the share that 4 is of 24. Poolers that belong
    to the head (RoBERTa, DeBERTa-v2) are new under every method; an L above the number of blocks means all.
    Official options that change numbers (options.py): reinit_layers is `layers` and implies reinit_pooler, as the code
    demands (run_glue.py:750). Not here: rezero_layers, which sets weights to zero instead; use_bertadam, which omits
    the bias correction; use_torch_adamw.
    """

    @dataclass(frozen=True)
    class Config:
        """layers: the paper's L; with 0 the pooler stays pretrained too."""

        layers: int = 1

        def __post_init__(self) -> None:
            if self.layers < 0:
                raise MethodError(f"re-initialisation needs 0 or more layers, not {self.layers}")

    name = "reinit"
    info = MethodInfo(
        paper="Zhang et al., ICLR 2021",
        year=2021,
        kind="recipe",
        parity="matched: every tensor kept, 0, 1 or drawn as there",
        cases=("reinit_*",),
        null={"layers": 0},
        grid={"layers": (1, 2, 3, 4, 5, 6)},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Re-initialise the top blocks and the pooler."""
        if self.config.layers:
            top = blocks(model)[-self.config.layers :]
            modules = (module for part in (*top, *pretrained_pooler(model)) for module in part.modules())
            deviation = getattr(model.config, "initializer_range", 0.02)
            initialise(modules, deviation, tensor_generator(fit.seed, "method", "blocks"))
        return model
