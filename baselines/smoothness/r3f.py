"""R3F: the output must not change under small noise on the embeddings."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.in_place import RandomState
from amix.models.architecture import embeddings
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.smoothness._divergence import symmetric_divergence


@register
class R3F(Method):
    """R3F: L = CE(f(x)) + strength * [KL(f(x)||f(e+z)) + KL(f(e+z)||f(x))], e the token embeddings, z small noise.

    Gradients flow through both outputs; e is detached in the noised pass, so that the embedding matrix learns from the
    clean pass only (Aghajanyan et al. 2021, equation 7; official code: fairseq, examples/rxf/rxf_src/
    sentence_prediction_r3f.py). As there, each pass draws its own dropout masks, and with noise of 1e-5 the penalty
    measures little but their effect; `shared_dropout` gives both passes the same masks. Departs in regression, where
    the official code omits the penalty: here it is the mean squared difference, as in HyPe's experiments.
    `noise_reaches_embeddings` and `summed` give the variant of Sai-Ashish/BFTSS, r3f.py: e not detached, and the
    penalty times the batch size. Official options that change numbers: eps is `epsilon`, r3f-lambda `strength`,
    noise-type `noise`; spectral-norm-classification-head, which makes it R4F, is not here.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: the paper's lambda. epsilon: bound of uniform or standard deviation of normal noise."""

        strength: float = 1.0
        epsilon: float = 1e-5
        noise: str = "uniform"
        shared_dropout: bool = False
        noise_reaches_embeddings: bool = False
        summed: bool = False

        def __post_init__(self) -> None:
            if self.noise not in ("uniform", "normal"):
                raise MethodError(f"R3F's noise is 'uniform' or 'normal', not '{self.noise}'")

    name = "r3f"
    info = MethodInfo(
        paper="Aghajanyan et al., ICLR 2021",
        year=2021,
        kind="smoothness",
        parity="matched: loss and gradients, to the resolution of its float32",
        cases=("r3f_*",),
        passes=2.0,
        micro_batches=True,
        null={"strength": 0.0},
        grid={"strength": (0.1, 0.5, 1.0), "noise": ("uniform", "normal")},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the noise."""
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_noise(self, embedded: Tensor) -> Tensor:
        """z for embedded tokens [batch, length, hidden]."""
        epsilon, noise = self.config.epsilon, torch.empty_like(embedded)
        if self.config.noise == "uniform":
            return noise.uniform_(-epsilon, epsilon, generator=self.generator)
        return noise.normal_(0.0, epsilon, generator=self.generator)

    def noised_logits(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Logits with noise on the token embeddings, before positions, segments and LayerNorm."""

        def add_noise(module: torch.nn.Module, args: object, embedded: Tensor) -> Tensor:
            source = embedded if self.config.noise_reaches_embeddings else embedded.detach()
            return source + self.draw_noise(source)

        hook = embeddings(model).register_forward_hook(add_noise)
        try:
            return fit.logits(model, batch)
        finally:
            hook.remove()

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of the clean pass plus the penalty."""
        masks = RandomState.capture(fit.device).replayed() if self.config.shared_dropout else nullcontext()
        clean = fit.logits(model, batch)
        with masks:
            noised = self.noised_logits(model, batch, fit)
        divergence = functional.mse_loss if fit.task.regression else symmetric_divergence
        strength = self.config.strength * (fit.examples(batch) if self.config.summed else 1)
        return fit.task_loss(clean, batch) + strength * divergence(clean, noised)
