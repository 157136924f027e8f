"""One mixed matrix of a model: its effective, task and pretrained weight, and the factors of its attention.

Both classes have: module and name; effective, task, pretrained: [out, in]; factors: what the upper level trains.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from amix.mixup.attention_form import AttentionForm, Combination


@dataclass(frozen=True)
class RankOneWeight:
    """A matrix whose attention has r numbers per row and column; a1: [out, r]; a2: [r, in]."""

    module: str
    name: str
    effective: nn.Parameter
    task: nn.Parameter
    pretrained: Tensor
    a1: nn.Parameter
    a2: nn.Parameter
    form: AttentionForm

    @property
    def rank(self) -> int:
        """r, the number of columns of a1."""
        return self.form.rank

    @property
    def combination(self) -> Combination:
        """How B is computed from a1 and a2."""
        return self.form.combination

    @property
    def factors(self) -> dict[str, nn.Parameter]:
        """The trained a1 and a2, or their logits."""
        return {"a1": self.a1, "a2": self.a2}

    def attention(self) -> list[Tensor]:
        """Return a1 and a2; for logits, their sigmoids."""
        return [self.form.attention(self.a1), self.form.attention(self.a2)]

    def task_share(self) -> Tensor:
        """Return A = a1 a2 / r, [out, in]."""
        a1, a2 = self.attention()
        share = a1 @ a2
        return share if self.rank == 1 else share.div_(self.rank)

    def pretrained_share(self, task_share: Tensor) -> Tensor:
        """Return B, [out, in], where task_share is A."""
        if self.combination == "convex":
            return 1 - task_share
        a1, a2 = self.attention()
        share = (1 - a1) @ (1 - a2)
        return share if self.rank == 1 else share.div_(self.rank)

    @torch.no_grad()
    def attention_gradient(self, gradient: Tensor, offset: Tensor | None = None, sign: int = 1) -> list[Tensor]:
        """Return dL/da1 and dL/da2, or those of their logits, from G = dL/dW~, [out, in].

        Args:
            gradient: G.
            offset: None: the task weight is W; otherwise W + sign * offset.
            sign: 1 or -1.
        """
        a1, a2 = self.attention()
        task = self.task if offset is None else torch.add(self.task, offset, alpha=sign)
        from_task = gradient * (task - self.pretrained if self.combination == "convex" else task)
        d_a1, d_a2 = from_task @ a2.T, a1.T @ from_task
        if self.combination == "factored":
            from_pretrained = torch.mul(gradient, self.pretrained, out=from_task)
            d_a1.addmm_(from_pretrained, (1 - a2).T, alpha=-1)
            d_a2.addmm_((1 - a1).T, from_pretrained, alpha=-1)
        return self._of_factors(d_a1, d_a2)

    @torch.no_grad()
    def share_gradient(self, gradient: Tensor) -> list[Tensor]:
        """Return the derivatives of <A, gradient> with respect to a1 and a2, or to their logits."""
        a1, a2 = self.attention()
        return self._of_factors(gradient @ a2.T, a1.T @ gradient)

    def _of_factors(self, d_a1: Tensor, d_a2: Tensor) -> list[Tensor]:
        pairs = zip((d_a1, d_a2), self.attention(), strict=True)
        return [self.form.pulled_back_(gradient.div_(self.rank), attention) for gradient, attention in pairs]


@dataclass(frozen=True)
class ScalarWeight:
    """A matrix whose attention is a single number; a: [1, 1]."""

    module: str
    name: str
    effective: nn.Parameter
    task: nn.Parameter
    pretrained: Tensor
    a: nn.Parameter
    form: AttentionForm

    @property
    def factors(self) -> dict[str, nn.Parameter]:
        """The trained a, or its logit."""
        return {"a": self.a}

    def attention(self) -> list[Tensor]:
        """Return a; for a logit, its sigmoid."""
        return [self.form.attention(self.a)]

    def task_share(self) -> Tensor:
        """Return A = a, [1, 1]."""
        return self.attention()[0]

    def pretrained_share(self, task_share: Tensor) -> Tensor:
        """Return B = 1 - a, [1, 1]."""
        return 1 - task_share

    @torch.no_grad()
    def attention_gradient(self, gradient: Tensor, offset: Tensor | None = None, sign: int = 1) -> list[Tensor]:
        """Return dL/da, or that of its logit, from G = dL/dW~; offset and sign as in RankOneWeight."""
        task = self.task if offset is None else torch.add(self.task, offset, alpha=sign)
        return self.share_gradient(gradient * (task - self.pretrained))

    @torch.no_grad()
    def share_gradient(self, gradient: Tensor) -> list[Tensor]:
        """Return the derivative of <A, gradient> with respect to a, or to its logit."""
        return [self.form.pulled_back_(gradient.sum().reshape(1, 1), self.task_share())]


MixedWeight = RankOneWeight | ScalarWeight


def mixed_weight(module: str, name: str, weight: nn.Parameter, pretrained: Tensor, form: AttentionForm) -> MixedWeight:
    """Create the latent tensors of one matrix: its task weight is the current weight, its attention the form's start.

    Args:
        module: Name of the linear module.
        name: Name of the parameter.
        weight: The model's parameter, [out, in].
        pretrained: W0, [out, in].
        form: The form of the attention.
    """
    task = nn.Parameter(weight.detach().clone())
    numbers = partial(torch.full, fill_value=form.first, dtype=weight.dtype, device=weight.device)
    if form.share == "scalar":
        return ScalarWeight(module, name, weight, task, pretrained, nn.Parameter(numbers((1, 1))), form)
    a1, a2 = numbers((weight.shape[0], form.rank)), numbers((form.rank, weight.shape[1]))
    return RankOneWeight(module, name, weight, task, pretrained, nn.Parameter(a1), nn.Parameter(a2), form)


@torch.no_grad()
def write(mixed: MixedWeight) -> None:
    """Write A o W + B o W0 into the model; depends only on the latent tensors, so it is bit-reproducible."""
    share = mixed.task_share()
    torch.mul(share, mixed.task, out=mixed.effective)
    mixed.effective.addcmul_(mixed.pretrained_share(share), mixed.pretrained)
