"""Attention-guided weight mixup: W~ = A o W + B o W0 in chosen linear layers of an untouched model.

The model's parameters hold the effective weights W~. Beside them lie the task weight W (what the lower level trains),
the pretrained weight W0 and the attention factors a1 [out, r] and a2 [r, in] (what the upper level trains). A
gradient G = dL/dW~ that a backward pass leaves in the model is pulled back to them in closed form.

    A = a1 a2 / r
    factored (as published)   B = (1 - a1)(1 - a2) / r
    convex                    B = 1 - A

    dL/dW  = A o G
    factored   dL/da1 = [(G o W) a2' - (G o W0)(1 - a2)'] / r     dL/da2 = [a1'(G o W) - (1 - a1)'(G o W0)] / r
    convex     dL/da1 = (G o (W - W0)) a2' / r                    dL/da2 = a1'(G o (W - W0)) / r

Rank 1 is as published. For r > 1 the matrix is the mean of r rank-one mixups, so that attention in [0, 1] keeps A and
B in [0, 1] and attention 1 means "the task weight alone" at every rank (a plain sum would start r times too large).

Without the suite, on any Hugging Face model (a bi-level iteration with any two optimizers: amix.mixup.bilevel_step):

    mixup = WeightMixup(model)
    mixup.draw_attention()
    attention = {"params": mixup.attention, "lr": 2e-3, "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([{"params": mixup.lower.values()}, attention], lr=2e-5)
    for batch in batches:
        model(**batch).loss.backward()
        mixup.pull_back(attention=True)
        optimizer.step()
        optimizer.zero_grad()
        mixup.clamp()
        mixup.write()
    mixup.export().save_pretrained(folder)

Official code: blo.py (two branches y = x (A o W)' + b + x (B o W0)', autograd through both). Its comment calls the
factored form convex; A + B = 1 - a1 - a2 + 2 a1 a2 is 1 only at (0, 0) and (1, 1), in between the layer is attenuated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from amix.mixup.linears import block_linears
from amix.mixup.sparse_rows import Offset, move, whole

Combination = Literal["factored", "convex"]


@dataclass(frozen=True)
class MixedWeight:
    """The mixed matrix `name` of a model. effective, task, pretrained: [out, in]; a1: [out, r]; a2: [r, in]."""

    module: str
    name: str
    effective: nn.Parameter
    task: nn.Parameter
    pretrained: Tensor
    a1: nn.Parameter
    a2: nn.Parameter
    combination: Combination

    def task_share(self) -> Tensor:
        """A, the coefficient of the task weight, [out, in]."""
        share = self.a1.detach() @ self.a2.detach()
        return share if self.rank == 1 else share.div_(self.rank)

    def pretrained_share(self, task_share: Tensor) -> Tensor:
        """B, the coefficient of the pretrained weight, [out, in]."""
        if self.combination == "convex":
            return 1 - task_share
        share = (1 - self.a1.detach()) @ (1 - self.a2.detach())
        return share if self.rank == 1 else share.div_(self.rank)

    @property
    def rank(self) -> int:
        """r, the number of columns of a1."""
        return self.a1.shape[1]

    @torch.no_grad()
    def write(self) -> None:
        """Put A o W + B o W0 into the model; a function of the latent tensors alone, so repeatable to the bit."""
        share = self.task_share()
        torch.mul(share, self.task, out=self.effective)
        self.effective.addcmul_(self.pretrained_share(share), self.pretrained)

    @torch.no_grad()
    def attention_gradient(
        self, gradient: Tensor, offset: Tensor | None = None, sign: int = 1
    ) -> tuple[Tensor, Tensor]:
        """dL/da1, dL/da2 from G = dL/dW~, the task weight being W, or W + sign * offset."""
        task = self.task if offset is None else torch.add(self.task, offset, alpha=sign)
        from_task = gradient * (task - self.pretrained if self.combination == "convex" else task)
        d_a1, d_a2 = from_task @ self.a2.T, self.a1.T @ from_task
        if self.combination == "factored":
            from_pretrained = torch.mul(gradient, self.pretrained, out=from_task)
            d_a1.addmm_(from_pretrained, (1 - self.a2).T, alpha=-1)
            d_a2.addmm_((1 - self.a1).T, from_pretrained, alpha=-1)
        return d_a1.div_(self.rank), d_a2.div_(self.rank)

    @torch.no_grad()
    def share_gradient(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of <A, gradient> with respect to a1 and a2."""
        return (gradient @ self.a2.T).div_(self.rank), (self.a1.T @ gradient).div_(self.rank)


class WeightMixup:
    """The mixup over a model: its latent tensors, writing effective weights, pulling gradients back, export.

    model: any module, already on its device and not inside a wrapper (DistributedDataParallel and the like hide which
    linears are pretrained); Hugging Face models need no further word. pretrained: W0 by parameter name, kept by
    reference (several mixups can share one copy); default: a copy of the model's weights now. rank r >= 1. modules:
    regular expressions for the linears (None: blocks and pooler, see weights.block_linears). Biases, embeddings,
    LayerNorm, the head and what an architecture keeps outside of linears remain the model's own ordinary parameters;
    `mixed` says what was found.

    The task weights start at the model's weights now, the attention at 1; call draw_attention() for a random start.
    Raises ValueError for an unknown combination, a rank below 1, a model in which no linear is found or none trains,
    weights of half precision, and a W0 that lacks a matrix or has it in another shape.
    """

    def __init__(
        self,
        model: nn.Module,
        pretrained: Mapping[str, Tensor] | None = None,
        rank: int = 1,
        combination: Combination = "factored",
        modules: Sequence[str] | None = None,
    ) -> None:
        if combination not in get_args(Combination):
            raise ValueError(f"combination {combination!r} is unknown; known: {', '.join(get_args(Combination))}")
        if rank < 1:
            raise ValueError(f"the rank of the attention must be at least 1, not {rank}")
        self.model = model
        trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        names = {id(p): name for name, p in trainable.items()}
        self.mixed = [
            _mixed_weight(module, names[id(linear.weight)], linear, pretrained, rank, combination)
            for module, linear in block_linears(model, modules).items()
            if id(linear.weight) in names
        ]
        if not self.mixed:
            raise ValueError("none of the model's linears trains: let some of their weights require gradients")
        task = {mixed.name: mixed.task for mixed in self.mixed}
        self.lower: dict[str, nn.Parameter] = {name: task.get(name, p) for name, p in trainable.items()}
        self.ordinary: dict[str, nn.Parameter] = {name: p for name, p in trainable.items() if name not in task}

    @property
    def effective(self) -> list[nn.Parameter]:
        """The model's mixed parameters W~, one per module."""
        return [mixed.effective for mixed in self.mixed]

    @property
    def task(self) -> list[nn.Parameter]:
        """The task weights W, one per module."""
        return [mixed.task for mixed in self.mixed]

    @property
    def attention(self) -> list[nn.Parameter]:
        """a1, a2, a1, a2, ...: what the upper level trains."""
        return [factor for mixed in self.mixed for factor in (mixed.a1, mixed.a2)]

    def named_attention(self) -> dict[str, nn.Parameter]:
        """The attention by name: <module>.a1 and <module>.a2."""
        return {f"{m.module}.{name}": factor for m in self.mixed for name, factor in (("a1", m.a1), ("a2", m.a2))}

    def latent(self, parameter: Tensor) -> Tensor:
        """What an optimizer of the lower level should hold in place of this parameter of the model."""
        return next((mixed.task for mixed in self.mixed if mixed.effective is parameter), parameter)

    @torch.no_grad()
    def draw_attention(self, std: float = 0.005, generator: torch.Generator | None = None) -> None:
        """Every entry of the factors from N(1, std), clamped to [0, 1] (load_weights.py:56); writes the weights."""
        for factor in self.attention:
            noise = torch.randn(factor.shape, generator=generator, dtype=torch.float32)
            factor.copy_((1 + std * noise).to(factor))
        self.clamp()
        self.write()

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the attention into [0, 1]; does not write the weights."""
        factors: list[Tensor] = list(self.attention)
        torch._foreach_clamp_min_(factors, 0.0)
        torch._foreach_clamp_max_(factors, 1.0)

    def write(self) -> None:
        """Effective weights from the latent tensors into the model; after every change of W or of the attention."""
        for mixed in self.mixed:
            mixed.write()

    @torch.no_grad()
    def shift(self, offsets: Mapping[str, Offset], multiple: float) -> None:
        """Move the model as if every lower parameter W moved by multiple * offset; the task weights stay.

        An in-place addition of A o offset to the effective weights. Undo: write(), and the ordinary parameters' copy.
        """
        for mixed in self.mixed:
            mixed.effective.addcmul_(mixed.task_share(), whole(offsets[mixed.name]), value=multiple)
        move(self.ordinary, offsets, multiple)

    @torch.no_grad()
    def pull_back(self, attention: bool = False) -> None:
        """Turn the gradients in the model into gradients of the task weights and, if asked, of the attention.

        They are added to gradients that are there already, as backward() does; the task weights are no parameters of
        the model, so it is the optimizer that must be told to zero_grad(). After it .grad is set on the task weights
        (the same memory, scaled by A) and unset on the effective weights. A module that took no part in the loss is
        left out.
        """
        for mixed in self.mixed:
            gradient = mixed.effective.grad
            if gradient is None:
                continue
            if attention:
                for factor, found in zip((mixed.a1, mixed.a2), mixed.attention_gradient(gradient), strict=True):
                    _add_gradient(factor, found)
            _add_gradient(mixed.task, gradient.mul_(mixed.task_share()))
            mixed.effective.grad = None

    def attention_gradients(
        self, gradients: Sequence[Tensor], offsets: Mapping[str, Offset] | None = None, sign: int = 1
    ) -> list[Tensor]:
        """dL/da1, dL/da2, ... from dL/dW~ per module, the task weights being W, or W + sign * offset."""
        moved = {} if offsets is None else {mixed.name: whole(offsets[mixed.name]) for mixed in self.mixed}
        pairs = zip(self.mixed, gradients, strict=True)
        return [g for mixed, G in pairs for g in mixed.attention_gradient(G, moved.get(mixed.name), sign)]

    def export(self) -> nn.Module:
        """The model with the effective weights in place: an ordinary model that needs this class no more."""
        self.write()
        return self.model


def _mixed_weight(
    module: str,
    name: str,
    linear: nn.Linear,
    pretrained: Mapping[str, Tensor] | None,
    rank: int,
    combination: Combination,
) -> MixedWeight:
    """The latent tensors of one linear."""
    weight = linear.weight
    assert isinstance(weight, nn.Parameter)
    if weight.dtype in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"{name} is of {weight.dtype}, which does not resolve steps of the attention near 1: load the model with "
            "dtype=torch.float32, and use torch.autocast inside the losses for speed"
        )
    task = nn.Parameter(weight.detach().clone())
    frozen = weight.detach().clone() if pretrained is None else _pretrained_weight(name, weight, pretrained)
    a1 = nn.Parameter(weight.new_ones(weight.shape[0], rank))
    a2 = nn.Parameter(weight.new_ones(rank, weight.shape[1]))
    return MixedWeight(module, name, weight, task, frozen, a1, a2, combination)


def _pretrained_weight(name: str, weight: Tensor, pretrained: Mapping[str, Tensor]) -> Tensor:
    """W0 of one matrix."""
    if name not in pretrained:
        raise ValueError(
            f"pretrained has no {name}: its names must be those of the model's parameters, not {list(pretrained)[:3]}"
        )
    found = pretrained[name]
    if found.shape != weight.shape:
        raise ValueError(f"pretrained {name} has shape {tuple(found.shape)}, the model {tuple(weight.shape)}")
    return found.detach().to(weight)


def _add_gradient(parameter: nn.Parameter, gradient: Tensor) -> None:
    """What backward() does with a gradient: take its memory, or add it to what is there."""
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad.add_(gradient)
