"""VIBERT: a variational information bottleneck between the encoder and the classifier."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import initialise
from amix.models.with_addition import EncoderWithAddition
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.classical._own_encoder import WithEncoder, encoder_and_pooling

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Bottleneck(nn.Module):
    """The information bottleneck: an encoder q(z|x), a prior p(z), and a linear classifier on z.

    q(z|x) = N(mu(u), diag(std(u))^2) with u = act(L2 act(L1 x)); p(z) = N(mu_p, diag(softplus(std_p))^2), learned.
    Parameters are named as in the official code. Export writes the source of this class next to its weights, so that it
    may use only torch, nn, functional and Any.
    """

    def shape(self, width: int, hidden: int, dimension: int, outputs: int, activation: nn.Module) -> None:
        """Create the layers; width, hidden and dimension are the sizes of x, u and z."""
        between = (hidden + width) // 2
        self.mlp = nn.Sequential(nn.Linear(width, between), activation, nn.Linear(between, hidden), activation)
        self.emb2mu, self.emb2std = nn.Linear(hidden, dimension), nn.Linear(hidden, dimension)
        self.mu_p, self.std_p = nn.Parameter(torch.zeros(dimension)), nn.Parameter(torch.zeros(dimension))
        self.classifier = nn.Linear(dimension, outputs)

    def narrow(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """mu and std of q(z|x), each [batch, dimension], from x [batch, width]."""
        u = self.mlp(x)
        return self.emb2mu(u), functional.softplus(self.emb2std(u))


class VariationalClassifier(Bottleneck, WithEncoder):
    """An encoder with the bottleneck in place of its head; its logits are computed from the mean of q.

    Export writes the source of this class next to its weights, so that it may use only torch, nn, functional and Any.
    """

    def __init__(
        self, configuration: str, pooling: str, dimension: int, outputs: int, activation: str, dropout: float
    ) -> None:
        super().__init__(configuration, pooling)
        self.arguments |= {
            "dimension": dimension, "outputs": outputs, "activation": activation, "dropout": dropout
        }  # fmt: skip
        kinds = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
        width = self.encoder.config.hidden_size
        self.shape(width, (width + dimension) // 2, dimension, outputs, kinds[activation]())
        self.dropout = nn.Dropout(dropout).eval()
        self.distribution: Any = None

    @override
    def forward(self, **inputs: Any) -> torch.Tensor:
        """Logits of the mean of q; in training mode, `distribution` then holds mean and std of q."""
        pooled = self.dropout(self.pooled(**inputs))
        with torch.autocast(pooled.device.type, enabled=False):
            mean, deviation = self.narrow(pooled.to(self.mu_p.dtype))
            self.distribution = (mean, deviation) if self.training else None
            logits: torch.Tensor = self.classifier(mean)
        return logits


@register
class VIBERT(Method):
    """VIBERT: L = mean_s CE(classifier(z_s), y) + beta_e KL(q(z|x) || p(z)),  z_s = mu + std o eps_s,  eps_s ~ N(0, I).

    q and the learned prior p are normal with diagonal covariance (see Bottleneck); with K the dimension of z

        KL = mean over the batch of  1/2 [ sum std^2 / s_p^2 + sum (mu_p - mu)^2 / s_p^2 - K + 2 sum log s_p / std ]

    with the arguments of log at least 1e-8 and s_p = softplus(std_p). beta_e = min(1, e beta) in epoch e, counted from
    1, or beta itself without `annealing`. In regression squared error takes the place of cross-entropy; predictions use
    mu. Mahabadi et al. (2021), section 3; official code: rabeehk/vibert, models.py. K, beta, annealing, 5 samples and
    the activation are from its sample command, which trains 25 epochs, so that beta ends at 2.5e-4 there and at 3e-5 in
    3 epochs. `deterministic` is its option of that name: no noise and no KL, the ablation called beta = 0.
    x is the encoder's pooled output after dropout, as there; the first token's state where no pooler is pretrained
    (RoBERTa, DeBERTa, which the code does not support), and the mean for encoders that pool this way. Departs: the
    width of u, (width + K) / 2, depends on the encoder's width, for which the code has 768. The layers are initialised
    like BERT's head (N(0, 0.02), biases 0), and mu_p and std_p from N(0, 1), as there.

    Official options that change numbers (run_glue.py): ib_dim is `dimension`, beta `beta`, kl_annealing `annealing`,
    sample_size `samples`, activation and deterministic have the same names; dropout is the encoder's; without ib the
    code finetunes plainly, and mixout and prior_weight_decay are the rows mixout and pretrained_decay; num_samples and
    sample_train are the suite's sizes.
    """

    @dataclass(frozen=True)
    class Config:
        """dimension: K. samples: draws of z per example. deterministic: no noise and no KL."""

        dimension: int = 384
        beta: float = 1e-5
        annealing: bool = True
        samples: int = 5
        activation: str = "relu"
        deterministic: bool = False

        def __post_init__(self) -> None:
            if self.activation not in ACTIVATIONS:
                raise MethodError(f"activation '{self.activation}' is unknown; known: {', '.join(ACTIVATIONS)}")
            if self.dimension < 1 or self.samples < 1 or self.beta < 0:
                raise MethodError("VIBERT needs a dimension and samples of at least 1 and a beta of at least 0")

    name = "vibert"
    info = MethodInfo(
        paper="Mahabadi et al., ICLR 2021",
        year=2021,
        kind="smoothness",
        parity="matched: distribution, KL, losses, logits and gradients",
        cases=("vibert_*",),
        plain_checkpoint=False,
        splits_batches=False,
        micro_batches=True,
        grid={"dimension": (144, 384), "beta": (1e-6, 1e-5, 1e-4, 1e-3)},
    )

    @override
    def prepare(self, model: Model, fit: Fit) -> Model:
        """Put the bottleneck in place of the head."""
        body, configuration, pooling = encoder_and_pooling(model, pooler=True)
        dropout = float(getattr(body.config, "hidden_dropout_prob", 0.1))
        config = self.config
        addition = VariationalClassifier(
            configuration, pooling, config.dimension, fit.task.outputs, config.activation, dropout
        )
        start(addition, float(getattr(body.config, "initializer_range", 0.02)), tensor_generator(fit.seed, "method"))
        addition.encoder = body
        extended = EncoderWithAddition(None, addition.to(fit.device))
        fit.cost.watch(extended)
        return extended.train()

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the noise."""
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_noise(self, mean: Tensor) -> Tensor:
        """eps [samples, batch, K] for means [batch, K]."""
        shape = (self.config.samples, *mean.shape)
        # Flat, because rows of samples are no examples (amix.training.micro_batches).
        return mean.new_empty(math.prod(shape)).normal_(generator=self.generator).view(shape)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss of the samples plus the divergence."""
        logits = fit.logits(model, batch)
        addition = model.addition
        assert isinstance(addition, VariationalClassifier)
        if self.config.deterministic:
            return fit.task_loss(logits, batch)
        mean, deviation = addition.distribution
        return self.sampled_loss(addition, mean, deviation, batch, fit)

    def sampled_loss(self, head: Bottleneck, mean: Tensor, deviation: Tensor, batch: Batch, fit: Fit) -> Tensor:
        """The loss, given mean and std of q, each [batch, K]."""
        whole = mean if fit.part is None else mean.new_empty(fit.examples(batch), mean.shape[1])
        logits = head.classifier(mean + deviation * fit.cut(self.draw_noise(whole), dim=1))
        losses = torch.stack([fit.task_loss(sample, batch) for sample in logits])
        return losses.mean() + self.beta(fit.epoch + 1) * divergence(mean, deviation, head.mu_p, head.std_p)

    def beta(self, epoch: int) -> float:
        """beta_e in this epoch, counted from 1."""
        return min(1.0, epoch * self.config.beta) if self.config.annealing else float(self.config.beta)


def start(head: Bottleneck, deviation: float, generator: torch.Generator) -> None:
    """Initialise the new layers like BERT's head, and the prior's parameters from N(0, 1)."""
    layers = (head.mlp[0], head.mlp[2], head.emb2mu, head.emb2std, head.classifier)
    initialise(layers, deviation, generator)
    for parameter in (head.mu_p, head.std_p):
        parameter.data.normal_(generator=generator)


def divergence(mean: Tensor, deviation: Tensor, prior_mean: Tensor, prior_raw: Tensor) -> Tensor:
    """KL(q || p), mean over the batch, from q [batch, K] and the prior [K]; prior_raw is its std before softplus."""
    prior = functional.softplus(prior_raw)
    ratios = ((deviation / prior).square() + ((prior_mean - mean) / prior).square()).sum(dim=-1)
    logs = 2 * (prior.clamp_min(1e-8).log() - deviation.clamp_min(1e-8).log()).sum(dim=-1)
    return 0.5 * (ratios - mean.shape[-1] + logs).mean()
