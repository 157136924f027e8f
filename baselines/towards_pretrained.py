"""Methods that hold the weights near the pretrained ones: decay towards them, and mixing with them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from amix.data import Batch
from amix.method import Groups, Method, MethodError, Model, register
from amix.modules import backbone, decay_groups, head_names, set_dropout, undecayed_names
from amix.seeds import tensor_generator
from amix.training import Fit
from amix.weights import exchange


@register
class PretrainedDecay(Method):
    """Decoupled weight decay towards the pretrained weights: w <- w - lr * decay * (w - w0), then the Adam step.

    Takes the place of the ordinary decay in the body, biases and LayerNorms left out. Zhang et al. (2021), section 7;
    official code: asappresearch/revisit-bert-finetuning, prior_wd_optim.py. Departs from it in the head: there the
    test that should leave it out (line 29) is never true, so the head is pulled to its random draw (`pull_head`); here
    it decays to zero as in plain finetuning. The whole pull of a run is about decay * lr * steps / 2, so that with a
    few hundred steps even the largest decay of the paper moves little.
    """

    @dataclass(frozen=True)
    class Config:
        """decay: the paper searches {0.001, 0.01, 0.1, 1}. keep_weight_decay: ordinary decay as well."""

        decay: float = 1.0
        pull_head: bool = False
        keep_weight_decay: bool = False

    name = "pretrained_decay"
    paper = "Zhang et al., ICLR 2021 (as baseline); Chelba and Acero, CSL 2006"
    year = 2006
    kind = "towards pretrained"
    null = {"decay": 0.0, "keep_weight_decay": True}
    parity = "matched: parameters to 2e-18 (prior_wd, with pull_head)"
    overhead_limit = 1.10
    grid = {"decay": (0.001, 0.01, 0.1, 1.0)}

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Those of plain finetuning; what is pulled forms a group of its own without ordinary decay."""
        pulled_names = self.pulled_names(model)
        pulled = [parameter for name, parameter in model.named_parameters() if name in pulled_names]
        inside = {id(parameter) for parameter in pulled}
        groups = super().param_groups(model, fit)
        if self.config.keep_weight_decay:
            return groups
        rest = [group | {"params": [p for p in group["params"] if id(p) not in inside]} for group in groups]
        return [{"params": pulled, "weight_decay": 0.0}, *(group for group in rest if group["params"])]

    def pulled_names(self, model: Model) -> set[str]:
        """Names of the parameters that are pulled."""
        names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        return names - undecayed_names(model) - (set() if self.config.pull_head else head_names(model))

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Keep the pretrained weights."""
        names = self.pulled_names(model)
        self.pulled: list[Tensor] = [parameter for name, parameter in model.named_parameters() if name in names]
        self.pretrained = [parameter.detach().clone() for parameter in self.pulled]

    @torch.no_grad()
    def before_step(self, model: Model, fit: Fit) -> None:
        """Pull with the learning rate of this step."""
        assert fit.optimizer is not None
        lr = fit.optimizer.param_groups[0]["lr"]
        torch._foreach_lerp_(self.pulled, self.pretrained, lr * self.config.decay)


@register
class L2SP(Method):
    """L2-SP: L + alpha / 2 * |w - w0|^2 over the body's weights + beta / 2 * |w|^2 over the head's, in place of decay.

    Coupled: the penalty's gradient passes through clipping and Adam's moments, which divide it by the size of the
    gradients, unlike the decoupled `pretrained_decay`. Li et al. (2018), equation 3; official code (images, SGD with
    momentum): holyseven/TransferLearningClassification, model/network_base.py:140-156, alpha and beta from its
    train.sh. Biases and LayerNorms are left out, as in its mode 1; `all_parameters` takes them in, as in its mode 101.
    """

    @dataclass(frozen=True)
    class Config:
        """alpha: of the body, beta: of the head. keep_weight_decay: ordinary decay as well."""

        alpha: float = 0.1
        beta: float = 0.01
        all_parameters: bool = False
        keep_weight_decay: bool = False

    name = "l2_sp"
    paper = "Li et al., ICML 2018"
    year = 2018
    kind = "towards pretrained"
    null = {"alpha": 0.0, "beta": 0.0, "keep_weight_decay": True}
    parity = "matched: penalty and gradient equal (l2sp)"
    grid = {"alpha": (0.001, 0.01, 0.1, 1.0), "beta": (0.01, 0.1)}

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Those of plain finetuning, without its decay."""
        return decay_groups(model, fit.recipe.weight_decay if self.config.keep_weight_decay else 0.0)

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Keep the pretrained weights."""
        left_out = set() if self.config.all_parameters else undecayed_names(model)
        named = {n: p for n, p in model.named_parameters() if p.requires_grad and n not in left_out}
        head = head_names(model)
        self.new: list[Tensor] = [parameter for name, parameter in named.items() if name in head]
        self.pulled: list[Tensor] = [parameter for name, parameter in named.items() if name not in head]
        self.pretrained = [parameter.detach().clone() for parameter in self.pulled]

    @torch.no_grad()
    def penalty(self) -> Tensor:
        """The penalty at the weights as they are; after_backward adds its gradient."""
        self.distances = torch._foreach_sub(self.pulled, self.pretrained)
        pulled, new = torch._foreach_norm(self.distances), torch._foreach_norm(self.new)
        squares = [torch.stack(norms).square().sum() for norms in (pulled, new)]
        return 0.5 * (self.config.alpha * squares[0] + self.config.beta * squares[1])

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss and the penalty."""
        return super().loss(model, batch, fit) + self.penalty()

    @torch.no_grad()
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Add the penalty's gradient, in closed form because automatic differentiation would copy every weight."""
        for parameters, directions, strength in (
            (self.pulled, self.distances, self.config.alpha),
            (self.new, self.new, self.config.beta),
        ):
            pairs = [(p.grad, way) for p, way in zip(parameters, directions, strict=True) if p.grad is not None]
            torch._foreach_add_([gradient for gradient, _ in pairs], [way for _, way in pairs], alpha=strength)


@register
class Mixout(Method):
    """Mixout: dropout on the difference to the pretrained weights, W~ = W0 + (W - W0) o M / (1 - p).

    M holds one Bernoulli(1 - p) draw per input unit of a linear layer, the same for all its rows and the whole batch
    (Lee et al. 2020, equation 3, written so that E[W~] = W). Dropout is off where weights are mixed, and evaluation
    uses W. The gradient is the exact one, G o M / (1 - p). The official code (bloodwass/mixout, mixout/mixout.py:75-79)
    returns G o M, which changes clipping and Adam's epsilon (`unscaled_gradient`); its example converts the head too,
    which mixes it with its own random draw (`mix_head`), where the paper keeps dropout and plain decay there.
    """

    @dataclass(frozen=True)
    class Config:
        """p: probability of the pretrained weight; the paper reports 0.7, 0.8 and 0.9."""

        p: float = 0.7
        mix_head: bool = False
        unscaled_gradient: bool = False
        keep_dropout: bool = False

        def __post_init__(self) -> None:
            if not 0 <= self.p < 1:
                raise MethodError(f"Mixout needs p in [0, 1), not {self.p}")

    name = "mixout"
    paper = "Lee et al., ICLR 2020"
    year = 2020
    kind = "towards pretrained"
    null = {"p": 0.0, "keep_dropout": True}
    parity = "matched: outputs and gradients to 2e-16 (mixout_drop, mixout_mix)"
    overhead_limit = 1.30
    grid = {"p": (0.1, 0.3, 0.5, 0.7, 0.9)}

    def prepare(self, model: Model, fit: Fit) -> Model:
        """Switch dropout off where weights are mixed."""
        if not self.config.keep_dropout:
            set_dropout(model if self.config.mix_head else backbone(model), 0.0)
        return model

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Keep the pretrained weights, and room for the mixed ones."""
        mixed = model if self.config.mix_head else backbone(model)
        self.weights = [module.weight for module in mixed.modules() if isinstance(module, nn.Linear)]
        self.pretrained = [weight.detach().clone() for weight in self.weights]
        self.other = [torch.empty_like(weight) for weight in self.pretrained]
        self.generator = tensor_generator(fit.seed, "method", fit.stage, device=fit.device)

    def draw_masks(self) -> list[Tensor]:
        """M of every linear layer, each of shape [inputs]."""
        kept = 1.0 - self.config.p
        return [weight.new_empty(weight.shape[1]).bernoulli_(kept, generator=self.generator) for weight in self.weights]

    @torch.no_grad()
    def mix(self) -> None:
        """Put the mixed weights into the model; W waits in `other` until the gradient is there."""
        self.masks = self.draw_masks()
        for weight, pretrained, mixed, mask in zip(self.weights, self.pretrained, self.other, self.masks, strict=True):
            torch.lerp(pretrained, weight, mask / (1.0 - self.config.p), out=mixed)
        exchange(self.weights, self.other)

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss at the mixed weights."""
        self.mix()
        return super().loss(model, batch, fit)

    def after_backward(self, model: Model, fit: Fit) -> None:
        """Put W back and turn the gradient at W~ into the one at W."""
        exchange(self.weights, self.other)
        scale = 1.0 if self.config.unscaled_gradient else 1.0 / (1.0 - self.config.p)
        for weight, mask in zip(self.weights, self.masks, strict=True):
            if weight.grad is not None:
                weight.grad.mul_(mask * scale)
