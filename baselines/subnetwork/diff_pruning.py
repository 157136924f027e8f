"""Diff pruning: learn a sparse difference to the pretrained weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import Groups, Method, Model
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import register
from baselines.subnetwork._fixed_mask import GRID, FixedMask, MaskConfig, body_parameters

LOWER, UPPER = -1.5, 1.5
"""Ends of the stretched gate; because they are symmetric, the penalty has no constant term."""


@dataclass(frozen=True)
class DiffConfig(MaskConfig):
    """penalty: weight of each gate's probability of being open. gate_lr, gate_start: of the gates' parameters alpha."""

    penalty: float = 1.25e-7
    gate_lr: float = 0.1
    gate_start: Annotated[float, Field(allow_inf_nan=False)] = 5.0


PIECE = 1 << 15
"""Entries processed at once on a CPU, so that they stay in its cache; otherwise this takes as long as a step."""


def draw_shares_(uniform: Tensor, alpha: Tensor) -> Tensor:
    """Turn u, uniform in (0, 1), into s = sigmoid(log u - log(1 - u) + alpha) in place (Louizos et al. 2018)."""
    # One exponential instead of a sigmoid and two logarithms, which would take as long as the passes.
    return uniform.div_(torch.exp(-alpha).mul_(1 - uniform).add_(uniform))


def gates(share: Tensor) -> Tensor:
    """z = min(1, max(0, s (UPPER - LOWER) + LOWER))."""
    return (share * (UPPER - LOWER) + LOWER).clamp_(0, 1)


def slopes(share: Tensor) -> Tensor:
    """dz / d alpha, which is 0 where the gate is clipped to 0 or 1."""
    stretched = share * (UPPER - LOWER) + LOWER
    return share.mul(1 - share).mul_(UPPER - LOWER).mul_((stretched > 0) & (stretched < 1))


def pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Corresponding flat views of pieces of contiguous tensors that have one shape."""
    size = PIECE if tensors[0].device.type == "cpu" else tensors[0].numel()
    return zip(*(tensor.view(-1).split(size) for tensor in tensors), strict=True)


def expected_gates(alpha: Tensor) -> Tensor:
    """The gates without noise, which are used for evaluation."""
    return gates(alpha.sigmoid())


class Gates(Method):
    """The first stage: theta = theta0 + z o delta with a penalty on open gates; the head trains without gates."""

    def __init__(self, config: DiffConfig, body: list[nn.Parameter]) -> None:
        self.config, self.body = config, body
        self.pretrained = [parameter.detach().clone() for parameter in body]
        self.deltas = [torch.zeros_like(parameter, requires_grad=True) for parameter in body]
        self.alphas = [torch.full_like(parameter, config.gate_start, requires_grad=True) for parameter in body]
        self.shares = [torch.empty_like(parameter) for parameter in body]
        self.alpha_gradients = [torch.empty_like(parameter) for parameter in body]

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Differences, head and gates, without weight decay."""
        inside = {id(parameter) for parameter in self.body}
        head = [p for p in model.parameters() if p.requires_grad and id(p) not in inside]
        changes = {"weight_decay": 0.0, "lr": fit.recipe.lr if self.config.lr is None else self.config.lr}
        return [
            {"params": self.deltas, **changes},
            {"params": head, **changes},
            {"params": self.alphas, **changes, "lr": self.config.gate_lr},
        ]

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the noise."""
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_uniform_(self, tensor: Tensor) -> None:
        """Fill with uniform noise in (1e-4, 1 - 1e-4), as in the official code."""
        tensor.uniform_(1e-4, 1 - 1e-4, generator=self.generator)

    @torch.no_grad()
    def write(self) -> None:
        """Draw new gates and write the resulting weights into the model."""
        tensors = zip(self.body, self.pretrained, self.deltas, self.alphas, self.shares, strict=True)
        for parameter, pretrained, delta, alpha, share in tensors:
            self.draw_uniform_(share)
            for weight, start, difference, logit, drawn in pieces(parameter.data, pretrained, delta, alpha, share):
                torch.addcmul(start, gates(draw_shares_(drawn, logit)), difference, out=weight)

    @override
    def before_loss(self, model: Model, fit: Fit) -> None:
        """Write weights with new gates into the model."""
        self.write()

    @torch.no_grad()
    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Turn each weight's gradient into those of its difference and its gate; add the penalty's."""
        tensors = zip(self.body, self.deltas, self.alphas, self.shares, self.alpha_gradients, strict=True)
        for parameter, delta, alpha, share, alpha_gradient in tensors:
            gradient, parameter.grad = parameter.grad, None
            alpha.grad, delta.grad = alpha_gradient, None if gradient is None else gradient.contiguous()
            for logit, slope in pieces(alpha, alpha_gradient):
                open_share = logit.sigmoid()
                torch.mul(open_share, 1 - open_share, out=slope).mul_(self.config.penalty)
            if delta.grad is not None:
                for change, slope, difference, drawn in pieces(delta.grad, alpha_gradient, delta, share):
                    slope.add_(slopes(drawn).mul_(difference).mul_(change))
                    change.mul_(gates(drawn))

    @torch.no_grad()
    def close(self) -> None:
        """Write the weights without noise into the model."""
        for parameter, pretrained, delta, alpha in zip(
            self.body, self.pretrained, self.deltas, self.alphas, strict=True
        ):
            torch.addcmul(pretrained, expected_gates(alpha), delta, out=parameter.data)


@register
class DiffPruning(FixedMask, MultiStageMethod):
    """Diff pruning: theta = theta0 + z o delta with an L0 penalty, then only the largest differences are trained.

    z are hard-concrete gates, one per weight outside the head, and the penalty c * sum sigmoid(alpha) is on the
    expected number of open gates. After this first stage, the K largest |z delta| stay, K = int(share * all) - head,
    the other weights return to theta0, and a second stage trains with this mask; both have the recipe's length. Guo et
    al. (2021), the unstructured form (the structured one has an additional gate per tensor); official code:
    dguo98/DiffPruning, examples/run_glue_diffpruning.py, run_glue_mag.py and run_glue_fixmask_finetune.py, with its
    gates and penalty. Departs: the gradients of differences and gates are clipped together, differences are ranked
    without noise in the gates, and both stages have one learning rate (its README uses 1e-5 in the first, 5e-5 in the
    second). A gate's alpha changes by at most about gate_lr per step, so that in some 50 steps few gates close and the
    magnitude of delta decides. Official options that change numbers: sparsity_pen is `penalty`, alpha_init
    `gate_start`, learning_rate `lr`. Not here: sparsity_penalty_per_layer; per_params_alpha (its default) and
    per_layer_alpha, gates shared by a tensor or a layer; fix_layer; concrete_lower, concrete_upper and temp, constants
    at their defaults.
    """

    Config = DiffConfig
    name = "diff_pruning"
    info = MethodInfo(
        paper="Guo et al., ACL 2021",
        year=2021,
        kind="subnetwork",
        parity="departs: one clipping, ranks without noise, no structured gates; not compared with numbers of the code",
        passes=2.0,  # Two stages, with one pass per update.
        micro_batches=True,
        grid=GRID,
        toy_settings={"share": 0.3, "lr": None},
    )

    @override
    def run(self, model: Model, fit: Fit) -> Model:
        """Train with gates, then with the fixed mask."""
        self.gates = Gates(self.config, body_parameters(model))
        train(self.gates, model, fit.for_stage("gates"))
        self.gates.close()
        return train(self, model, fit)

    @override
    def importance(self, model: Model, fit: Fit, body: list[nn.Parameter]) -> list[Tensor]:
        """Magnitudes of the differences."""
        return [(p.detach() - pretrained).abs_() for p, pretrained in zip(body, self.gates.pretrained, strict=True)]

    @torch.no_grad()
    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Choose the mask and reset the other weights to the pretrained ones."""
        super().on_fit_start(model, fit)
        for parameter, pretrained, mask in zip(self.body, self.gates.pretrained, self.masks, strict=True):
            parameter.copy_(torch.where(mask > 0, parameter, pretrained))
        del self.gates
