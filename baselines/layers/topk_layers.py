"""Finetuning only the top layers."""

from dataclasses import dataclass

from typing_extensions import override

from amix.models.architecture import backbone, blocks, pretrained_pooler
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class TopKLayers(Method):
    """Finetune the top k Transformer blocks, the pooler and the head; embeddings and lower blocks stay pretrained.

    Houlsby et al. (2019), section 3.4 ("variable fine-tuning"), who sweep k; a k above the number of blocks means all.
    The variant in Sai-Ashish/BFTSS, topk_freeze.py, from which AGWM's baseline is probably derived, also trains the
    embeddings (`freeze_embeddings: false`). Official options that change numbers: i, the highest frozen block counted
    from 0, is `k` = blocks - 1 - i.
    """

    @dataclass(frozen=True)
    class Config:
        """k: number of top blocks to train."""

        k: int = 3
        freeze_embeddings: bool = True

        def __post_init__(self) -> None:
            if self.k < 0:
                raise MethodError(f"topk_layers: k must be 0 or more, not {self.k}")

    name = "topk_layers"
    info = MethodInfo(
        paper="Houlsby et al., ICML 2019",
        year=2019,
        kind="layers",
        parity="matched: the same parameters train",
        cases=("topk_*",),
        null={"k": 1000, "freeze_embeddings": False},
        grid={"k": (1, 2, 3, 5)},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Freeze everything below the top k blocks."""
        all_blocks = blocks(model)
        lower = all_blocks[: max(0, len(all_blocks) - self.config.k)]
        if self.config.freeze_embeddings:
            backbone(model).requires_grad_(False)
            for module in (*all_blocks[len(lower) :], *pretrained_pooler(model)):
                module.requires_grad_(True)
        for block in lower:
            block.requires_grad_(False)
        return model
