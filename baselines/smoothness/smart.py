"""SMART: the output must not change under the worst small perturbation of the embeddings."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.in_place import RandomState
from amix.random_streams import tensor_generator
from amix.specs.recipe import Recipe
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._divergence import symmetric_divergence
from baselines.smoothness._hidden_states import changed_outputs, embedding_layer, recorded_outputs


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(q||p), with p and q given by first and second [batch, classes]; mean over the batch (`Kl`, loss.py)."""
    log_p, log_q = functional.log_softmax(first, dim=-1), functional.log_softmax(second, dim=-1)
    return functional.kl_div(log_p, log_q, reduction="batchmean", log_target=True)


def divergence_to_fixed(first: Tensor, second: Tensor) -> Tensor:
    """KL(q||p) + KL(p||q), without gradient through the first argument of either (`SymKl`, loss.py)."""
    return divergence(first, second.detach()) + divergence(second, first.detach())


def log_odds_distance(first: Tensor, second: Tensor) -> Tensor:
    """2 p (r(p) - r(q)) summed over classes, mean over the batch; gradient only through the factor p.

    r(x) = -log(1/(x + e) - 1 + e) is the log-odds. This is not a divergence, although the official code calls it
    `stable_kl` (`NsKl`, loss.py:11-23).
    """
    p, q = functional.softmax(first, dim=-1), functional.softmax(second, dim=-1)
    gap = (_log_odds(p) - _log_odds(q)).detach()
    return 2.0 * (p * gap).sum(dim=-1).mean()


def symmetric_log_odds_distance(first: Tensor, second: Tensor) -> Tensor:
    """The log-odds distance in both directions (`NsSymKl`, loss.py)."""
    return log_odds_distance(first, second) + log_odds_distance(second, first)


def _log_odds(probabilities: Tensor, epsilon: float = 1e-6) -> Tensor:
    return -(1.0 / (probabilities + epsilon) - 1.0 + epsilon).log()


CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "symmetric": symmetric_divergence,
    "kl": divergence,
    "sym_kl": divergence_to_fixed,
    "ns_kl": log_odds_distance,
    "ns_sym_kl": symmetric_log_odds_distance,
}
"""The paper's criterion `symmetric`, and the official code's, under the names used there."""


@register
class SMART(Method):
    """SMART's regulariser: L = CE(f(x)) + strength * max_{|z| <= radius} [KL(f(x)||f(e+z)) + KL(f(e+z)||f(x))].

    e is the output of the embedding layer. z starts from N(0, noise_std^2) and takes `steps` steps of gradient ascent
    of size step_size on the sum over the batch, each projected back to entries of at most radius; then z is a constant,
    and gradients flow through both outputs. Jiang et al. (2020), section 3.1 and algorithm 1; MSE in regression.
    Official code: namisan/mt-dnn, mt_dnn/perturbation.py and loss.py. As there, every pass draws its own dropout masks;
    with `shared_dropout` all passes have the same. Omitted, as there: the proximal term with momentum (section 3.2),
    for which no code was released. The official code corresponds to `unit_perturbation` (z is divided by its largest
    entry per token, perturbation.py:65-75, so that its size is 1 whatever the settings), criterion `sym_kl`,
    ascent_criterion `ns_kl`, step_size 1e-5, and `embeddings_twice` (e + z enters as token embeddings, so that
    positions, segments and LayerNorm apply a second time). It computes e once more, while here e is the clean pass's.
    Official options that change numbers (train.py): adv_alpha is `strength`, adv_k `steps`, adv_step_size `step_size`,
    adv_noise_var `noise_std`. Not here: adv_epsilon, which only guards the division; adv_p_norm, of which only `inf`
    runs; adv_norm_level, which normalises per sentence instead of per token; the options of its multi-task training.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: lambda_s. radius, step_size, noise_std: epsilon, eta and sigma of the paper. steps: T_x."""

        strength: float = 1.0
        radius: float = 1e-5
        step_size: float = 1e-3
        noise_std: float = 1e-5
        steps: int = 1
        criterion: str = "symmetric"
        ascent_criterion: str = "symmetric"
        unit_perturbation: bool = False
        embeddings_twice: bool = False
        shared_dropout: bool = False

        def __post_init__(self) -> None:
            for name in (self.criterion, self.ascent_criterion):
                if name not in CRITERIA:
                    raise MethodError(f"SMART has no criterion '{name}'; known: {', '.join(CRITERIA)}")
            if self.steps < 0:
                raise MethodError(f"SMART needs steps of at least 0, not {self.steps}")

    name = "smart"
    info = MethodInfo(
        paper="Jiang et al., ACL 2020",
        year=2020,
        kind="smoothness",
        parity="matched: perturbation, loss, gradients, to the resolution of its float32",
        cases=("smart_*",),
        passes=3.0,
        micro_batches=True,
        null={"strength": 0.0},
        grid={"strength": (0.1, 1.0, 5.0), "unit_perturbation": (False, True)},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the noise."""
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_noise(self, embedded: Tensor) -> Tensor:
        """Initial z for embedded tokens [batch, length, hidden]."""
        return torch.empty_like(embedded).normal_(0.0, self.config.noise_std, generator=self.generator)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of the clean pass plus the penalty."""
        masks = RandomState.capture(fit.device) if self.config.shared_dropout else None

        def perturbed_logits(embedded: Tensor) -> Tensor:
            dropout: AbstractContextManager[None] = masks.replayed() if masks else nullcontext()
            with dropout:
                return self.logits_from(embedded, model, batch, fit)

        with recorded_outputs([embedding_layer(model)]) as recorded:
            clean = fit.logits(model, batch)
        embedded = recorded[0]
        noise = self.worst_noise(embedded.detach(), clean.detach(), perturbed_logits, fit)
        penalty = self.distance(self.config.criterion, clean, perturbed_logits(embedded + noise), fit)
        return fit.task_loss(clean, batch) + self.config.strength * penalty

    def logits_from(self, embedded: Tensor, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Logits with these embeddings in place of the model's own."""
        if self.config.embeddings_twice:
            return fit.logits(model, batch, input_ids=None, inputs_embeds=embedded)
        with changed_outputs([embedding_layer(model)], lambda original: embedded):
            return fit.logits(model, batch)

    def worst_noise(self, embedded: Tensor, clean: Tensor, logits: Callable[[Tensor], Tensor], fit: Fit) -> Tensor:
        """z after the ascent; `logits` maps embeddings to the model's outputs."""
        noise = self.draw_noise(embedded)
        for _ in range(self.config.steps):
            noise.requires_grad_()
            distance = self.distance(self.config.ascent_criterion, logits(embedded + noise), clean, fit)
            (gradient,) = fit.gradients(distance * len(clean), [noise])
            noise = self.project(noise.detach() + self.config.step_size * gradient)
        return noise

    def project(self, noise: Tensor) -> Tensor:
        """z projected onto the max-norm ball; with unit_perturbation, scaled to size 1 for every token."""
        if self.config.unit_perturbation:
            return noise / (noise.abs().amax(dim=-1, keepdim=True) + 1e-6)
        return noise.clamp(-self.config.radius, self.config.radius)

    def distance(self, criterion: str, first: Tensor, second: Tensor, fit: Fit) -> Tensor:
        """Distance between two sets of outputs [batch, outputs], mean over the batch."""
        return functional.mse_loss(first, second) if fit.task.regression else CRITERIA[criterion](first, second)

    @override
    def relative_passes(self, n_train: int, recipe: Recipe) -> float:
        """One pass for the task, one for the penalty, and one per ascent step."""
        return 2.0 + self.config.steps
