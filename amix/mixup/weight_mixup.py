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
    scalar     A = a, B = 1 - a, one number per matrix            dL/da = sum of G o (W - W0)
    logits     a = sigmoid(l), any of the above                   dL/dl = a (1 - a) dL/da

Rank 1, factored, is as published; amix.mixup.attention_form names the other forms. For r > 1 the matrix is the mean
of r rank-one mixups, so that attention in [0, 1] keeps A and B in [0, 1] and attention 1 means "the task weight alone"
at every rank (a plain sum would start r times too large).

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

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from amix.mixup.attention_form import AttentionForm, Combination, Parameterisation, Share
from amix.mixup.linears import block_linears
from amix.mixup.mixed_weight import MixedWeight, mixed_weight, write
from amix.mixup.sparse_rows import Offset, move, whole


class WeightMixup:
    """The mixup over a model: its latent tensors, writing effective weights, pulling gradients back, export.

    model: any module, already on its device and not inside a wrapper (DistributedDataParallel and the like hide which
    linears are pretrained); Hugging Face models need no further word. pretrained: W0 by parameter name, kept by
    reference (several mixups can share one copy); default: a copy of the model's weights now. modules: regular
    expressions for the linears (None: blocks and pooler, see weights.block_linears). The other options: what the
    attention is, see AttentionForm. Biases, embeddings, LayerNorm, the head and what an architecture keeps outside of
    linears remain the model's own ordinary parameters; `mixed` says what was found.

    The task weights start at the model's weights now, the attention at its start, which is 1 unless the form has
    another; call draw_attention() for a random one. Raises ValueError for what AttentionForm refuses, a model in which
    no linear is found or none trains, weights of half precision, and a W0 that lacks a matrix or has it in another
    shape.
    """

    def __init__(
        self,
        model: nn.Module,
        pretrained: Mapping[str, Tensor] | None = None,
        rank: int = 1,
        combination: Combination = "factored",
        modules: Sequence[str] | None = None,
        *,
        share: Share = "rank_one",
        parameterisation: Parameterisation = "clamped",
        start: float = 1.0,
        limit: float = 1.0,
    ) -> None:
        self.form = AttentionForm(rank, combination, share, parameterisation, start, limit)
        self.model = model
        trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
        names = {id(p): name for name, p in trainable.items()}
        self.mixed: list[MixedWeight] = [
            _mixed_weight(module, names[id(linear.weight)], linear, pretrained, self.form)
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
        """a1, a2, a1, a2, ..., of scalar shares a, a, ..., or their logits: what the upper level trains."""
        return [factor for mixed in self.mixed for factor in mixed.factors.values()]

    def named_attention(self) -> dict[str, nn.Parameter]:
        """What the upper level trains by name: <module>.a1 and <module>.a2, or <module>.a."""
        return {f"{m.module}.{name}": factor for m in self.mixed for name, factor in m.factors.items()}

    def latent(self, parameter: Tensor) -> Tensor:
        """What an optimizer of the lower level should hold in place of this parameter of the model."""
        return next((mixed.task for mixed in self.mixed if mixed.effective is parameter), parameter)

    @torch.no_grad()
    def draw_attention(self, std: float = 0.005, generator: torch.Generator | None = None) -> None:
        """Every entry of the attention from N(start, std), clamped; writes the weights.

        As published with start 1 (load_weights.py:56).
        """
        for factor in self.attention:
            noise = torch.randn(factor.shape, generator=generator, dtype=torch.float32)
            factor.copy_(self.form.numbers(self.form.start + std * noise).to(factor))
        self.clamp()
        self.write()

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the attention into [0, limit], where logits always are; does not write the weights."""
        if self.form.parameterisation == "logits":
            return
        factors: list[Tensor] = list(self.attention)
        torch._foreach_clamp_min_(factors, 0.0)
        torch._foreach_clamp_max_(factors, self.form.limit)

    def write(self) -> None:
        """Effective weights from the latent tensors into the model; after every change of W or of the attention."""
        for mixed in self.mixed:
            write(mixed)

    @contextmanager
    def holding(self, numbers: Sequence[Tensor]) -> Iterator[None]:
        """Inside, what the upper level trains has these values; outside it is as it was. Writes the weights each time.

        numbers: as many tensors as `attention` has, or what broadcasts to them.
        """
        before = [factor.detach().clone() for factor in self.attention]
        self._set(numbers)
        try:
            yield
        finally:
            self._set(before)

    @torch.no_grad()
    def _set(self, numbers: Sequence[Tensor]) -> None:
        for factor, value in zip(self.attention, numbers, strict=True):
            factor.copy_(value)
        self.write()

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
                for factor, found in zip(mixed.factors.values(), mixed.attention_gradient(gradient), strict=True):
                    _add_gradient(factor, found)
            _add_gradient(mixed.task, gradient.mul_(mixed.task_share()))
            mixed.effective.grad = None

    def attention_gradients(
        self, gradients: Sequence[Tensor], offsets: Mapping[str, Offset] | None = None, sign: int = 1
    ) -> list[Tensor]:
        """The gradients of `attention` from dL/dW~ per module, the task weights being W, or W + sign * offset."""
        moved = {} if offsets is None else {mixed.name: whole(offsets[mixed.name]) for mixed in self.mixed}
        pairs = zip(self.mixed, gradients, strict=True)
        return [g for mixed, G in pairs for g in mixed.attention_gradient(G, moved.get(mixed.name), sign)]

    def export(self) -> nn.Module:
        """The model with the effective weights in place: an ordinary model that needs this class no more."""
        self.write()
        return self.model


def _mixed_weight(
    module: str, name: str, linear: nn.Linear, pretrained: Mapping[str, Tensor] | None, form: AttentionForm
) -> MixedWeight:
    """The latent tensors of one linear."""
    weight = linear.weight
    assert isinstance(weight, nn.Parameter)
    if weight.dtype in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"{name} is of {weight.dtype}, which does not resolve steps of the attention near 1: load the model with "
            "dtype=torch.float32, and use torch.autocast inside the losses for speed"
        )
    frozen = weight.detach().clone() if pretrained is None else _pretrained_weight(name, weight, pretrained)
    return mixed_weight(module, name, weight, frozen, form)


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
