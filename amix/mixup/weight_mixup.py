"""Attention-guided weight mixup: W~ = A o W + B o W0 in selected linear layers of a model whose code stays untouched.

The model's parameters hold the effective weights W~. The mixup holds the task weights W (trained by the lower level),
the pretrained weights W0, and the attention factors a1 [out, r] and a2 [r, in] (trained by the upper level). A
gradient G = dL/dW~ that a backward pass leaves in the model is pulled back to them in closed form.

    A = a1 a2 / r
    factored (as published)   B = (1 - a1)(1 - a2) / r
    convex                    B = 1 - A

    dL/dW  = A o G
    factored   dL/da1 = [(G o W) a2' - (G o W0)(1 - a2)'] / r     dL/da2 = [a1'(G o W) - (1 - a1)'(G o W0)] / r
    convex     dL/da1 = (G o (W - W0)) a2' / r                    dL/da2 = a1'(G o (W - W0)) / r
    scalar     A = a, B = 1 - a, one number per matrix            dL/da = sum of G o (W - W0)
    logits     a = sigmoid(l), any of the above                   dL/dl = a (1 - a) dL/da

The published form is factored, of rank 1; amix.mixup.attention_form describes the others. For r > 1, W~ is the mean of
r rank-one mixups, so that attention in [0, 1] keeps A and B in [0, 1], and attention 1 means "the task weight alone" at
every rank (a plain sum would start r times too large).

Without the suite, on any Hugging Face model (for bi-level training see amix.mixup.bilevel_step):

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
factored form convex, but A + B = 1 - a1 - a2 + 2 a1 a2 is 1 only where a1 and a2 are both 0 or both 1; in between the
layer is attenuated.
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
    """The mixup over a model: holds the latent tensors, writes effective weights, pulls gradients back, exports.

    The task weights start at the model's current weights, the attention at `start`; call draw_attention() for a random
    start. Biases, embeddings, LayerNorm, the head and whatever else is outside the mixed linears remain the model's own
    ordinary parameters; `mixed` lists the mixed matrices.

    Args:
        model: Any module, already on its device and not wrapped (DistributedDataParallel and the like hide which
            linears are pretrained).
        pretrained: W0 by parameter name, kept by reference, so that several mixups can share one copy; None: a copy of
            the model's current weights.
        rank: See AttentionForm, also for the other options below.
        combination: `factored` or `convex`, see above.
        modules: Regular expressions for the linears to mix; None: those of the blocks and the pooler, see
            amix.mixup.linears.block_linears.
        share: `rank_one` or `scalar`.
        parameterisation: `clamped` or `logits`.
        start: The initial attention.
        limit: The largest attention.

    Raises:
        ValueError: AttentionForm refuses the options, the model has no matching linear or none that trains, weights
            are in half precision, or W0 lacks a matrix or has another shape.
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
            raise ValueError("all selected linears are frozen: set requires_grad for some of their weights")
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
        """What the upper level trains: a1, a2, a1, a2, ..., or a, a, ... for scalar shares, or their logits."""
        return [factor for mixed in self.mixed for factor in mixed.factors.values()]

    def named_attention(self) -> dict[str, nn.Parameter]:
        """Return what the upper level trains, by name: <module>.a1 and <module>.a2, or <module>.a."""
        return {f"{m.module}.{name}": factor for m in self.mixed for name, factor in m.factors.items()}

    def latent(self, parameter: Tensor) -> Tensor:
        """Return what a lower optimizer should hold in place of this parameter of the model."""
        return next((mixed.task for mixed in self.mixed if mixed.effective is parameter), parameter)

    @torch.no_grad()
    def draw_attention(self, std: float = 0.005, generator: torch.Generator | None = None) -> None:
        """Draw every entry of the attention from N(start, std), clamp it, and write the weights.

        The published code draws likewise, with start 1 (load_weights.py:56).
        """
        for factor in self.attention:
            noise = torch.randn(factor.shape, generator=generator, dtype=torch.float32)
            factor.copy_(self.form.numbers(self.form.start + std * noise).to(factor))
        self.clamp()
        self.write()

    @torch.no_grad()
    def clamp(self) -> None:
        """Clamp the attention to [0, limit], without writing the weights; logits need no clamping."""
        if self.form.parameterisation == "logits":
            return
        factors: list[Tensor] = list(self.attention)
        torch._foreach_clamp_min_(factors, 0.0)
        torch._foreach_clamp_max_(factors, self.form.limit)

    def write(self) -> None:
        """Write the effective weights into the model; call it after every change of W or of the attention."""
        for mixed in self.mixed:
            write(mixed)

    @contextmanager
    def holding(self, numbers: Sequence[Tensor]) -> Iterator[None]:
        """Set `attention` to these numbers inside, and restore it on leaving; writes the weights both times.

        Args:
            numbers: One tensor for each of `attention`, of its shape or one that broadcasts to it.
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
        """Move the model as if every lower parameter W moved by multiple * offset, without moving the task weights.

        Adds multiple * A o offset to the effective weights in place. To undo it, call write() and restore the ordinary
        parameters from a copy.
        """
        for mixed in self.mixed:
            mixed.effective.addcmul_(mixed.task_share(), whole(offsets[mixed.name]), value=multiple)
        move(self.ordinary, offsets, multiple)

    @torch.no_grad()
    def pull_back(self, attention: bool = False) -> None:
        """Turn the gradients in the model into gradients of the task weights and, if asked, of the attention.

        They are added to existing gradients, as backward() does. The task weights are not parameters of the model, so
        call zero_grad() of the optimizer, not of the model. Afterwards .grad is set on the task weights (the same
        memory, scaled by A) and None on the effective weights. Modules that the loss does not use are skipped.
        """
        for mixed in self.mixed:
            gradient = mixed.effective.grad
            if gradient is None:
                continue
            if attention:
                for factor, of_factor in zip(mixed.factors.values(), mixed.attention_gradient(gradient), strict=True):
                    _add_gradient(factor, of_factor)
            _add_gradient(mixed.task, gradient.mul_(mixed.task_share()))
            mixed.effective.grad = None

    def attention_gradients(
        self, gradients: Sequence[Tensor], offsets: Mapping[str, Offset] | None = None, sign: int = 1
    ) -> list[Tensor]:
        """Return the gradients of `attention` from dL/dW~ per module.

        Args:
            gradients: dL/dW~, [out, in], one for each of `effective`.
            offsets: None: the task weights are W; otherwise W + sign * offset, by parameter name.
            sign: 1 or -1.
        """
        moved = {} if offsets is None else {mixed.name: whole(offsets[mixed.name]) for mixed in self.mixed}
        pairs = zip(self.mixed, gradients, strict=True)
        return [g for mixed, G in pairs for g in mixed.attention_gradient(G, moved.get(mixed.name), sign)]

    def export(self) -> nn.Module:
        """Return the model with the effective weights written: an ordinary model, independent of this class."""
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
            f"{name} is in {weight.dtype}, which does not resolve steps of the attention near 1: load the model with "
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
    frozen = pretrained[name]
    if frozen.shape != weight.shape:
        raise ValueError(f"pretrained {name} has shape {tuple(frozen.shape)}, the model {tuple(weight.shape)}")
    return frozen.detach().to(weight)


def _add_gradient(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Accumulate a gradient as backward() does: take its memory, or add it to the existing one."""
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad.add_(gradient)
