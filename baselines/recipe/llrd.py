"""Layer-wise learning-rate decay."""

from dataclasses import dataclass

from typing_extensions import override

from amix.models.architecture import blocks, head_names, parameter_names, pretrained_pooler, undecayed_names
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class LayerwiseLearningRates(Method):
    """LLRD: the learning rate decays by a factor xi from block to block towards the input.

    Head and pooler: lr. Block l of L, counted from the input: lr xi^(L - l + 1), so that the factor also applies to the
    top block. The rest of the body (embeddings, and the relative positions that DeBERTa's blocks share): lr xi^(L + 1).
    Zhang et al. (2021), section 7; official code: asappresearch/revisit-bert-finetuning, run_glue.py:75-121, which also
    removes weight decay from head and pooler (`undecayed_head`). The paper tries lr 2e-5, 5e-5 and 1e-4 where other
    methods use 2e-5: `lr_factor` 1, 2.5 and 5. Official options that change numbers: layerwise_learning_rate_decay is
    `xi`; for the others see reinit.
    """

    @dataclass(frozen=True)
    class Config:
        """xi: the paper searches {0.9, 0.95}. lr_factor: learning rate of the head relative to the recipe's."""

        xi: float = 0.95
        lr_factor: float = 1.0
        undecayed_head: bool = False

        def __post_init__(self) -> None:
            if not 0 < self.xi <= 1:
                raise MethodError(f"layer-wise learning rates need xi in (0, 1], not {self.xi}")

    name = "llrd"
    info = MethodInfo(
        paper="Howard and Ruder, ACL 2018; Zhang et al., ICLR 2021 (as baseline)",
        year=2018,
        kind="recipe",
        parity="matched: decay and learning rates, with undecayed_head",
        cases=("llrd_*",),
        null={"xi": 1.0},
        grid={"xi": (0.9, 0.95), "lr_factor": (1.0, 2.5, 5.0)},
    )

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """One group for each pair of learning rate and weight decay."""
        depths, undecayed = self.depths(model), undecayed_names(model)
        lowest = len(blocks(model)) + 1
        groups: dict[tuple[float, float], list[object]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                depth = depths.get(name, lowest)
                bare = name in undecayed or (self.config.undecayed_head and depth == 0)
                lr = fit.recipe.lr * self.config.lr_factor * self.config.xi**depth
                groups.setdefault((lr, 0.0 if bare else fit.recipe.weight_decay), []).append(parameter)
        return [{"params": members, "lr": lr, "weight_decay": decay} for (lr, decay), members in groups.items()]

    def depths(self, model: Model) -> dict[str, int]:
        """How often each parameter's learning rate is multiplied by xi; without the parameters below the blocks."""
        top = head_names(model) | parameter_names(model, pretrained_pooler(model))
        depths = dict.fromkeys(top, 0)
        for depth, block in enumerate(reversed(blocks(model)), start=1):
            depths |= dict.fromkeys(parameter_names(model, [block]), depth)
        return depths
