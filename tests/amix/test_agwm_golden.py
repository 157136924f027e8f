"""Agreement with the released code and with exact derivatives, case by case, within the stated tolerances."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from amix.agwm.presets import ReleasedCodeConfig
from amix.agwm.released_code import ReleasedCode, leave_displaced, second_lower_step
from amix.data.encoded import Encoded
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import HypergradientOptions
from amix.mixup.sparse_rows import whole
from amix.mixup.weight_mixup import WeightMixup
from amix.models.architecture import decay_groups
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from amix.training.fit import Fit
from amix.training.loop import start, train_step
from amix.training.optimizers import DecayAfterAdamW
from helpers.golden_cases import cosine_rate, distance, golden_mixup, linear_rate, tiny_bert
from helpers.official_cases import Case, Parity, cases

TRAJECTORIES = cases("agwm_trajectory*")
NOISE = "attention.self.key.bias"  # Its exact gradient is zero: the stored one is rounding error.


@pytest.mark.parametrize("name", cases("agwm_layer_*"))
def test_the_layer_matches_in_forward_and_gradients(name: str, record_parity: Parity) -> None:
    case = Case(name)
    rank = case.hyperparameters["rank"]
    linear = nn.Linear(case.tensor("W").shape[1], case.tensor("W").shape[0]).double()
    mixup = WeightMixup(nn.Sequential(linear), {"0.weight": case.tensor("W0")}, rank, modules=["0"])
    (mixed,) = mixup.mixed
    with torch.no_grad():
        for parameter, key in ((mixed.task, "W"), (mixed.a1, "a1"), (mixed.a2, "a2"), (linear.bias, "b")):
            parameter.copy_(case.tensor(key))
    mixup.write()
    x = case.tensor("x").requires_grad_()
    y = linear(x)
    (y * case.tensor("c")).sum().backward()
    mixup.pull_back(attention=True)
    found = {"y": y, "W_eff": mixed.effective, "grad_x": x.grad, "grad_b": linear.bias.grad, "grad_W": mixed.task.grad}
    found |= {"grad_a1": mixed.a1.grad, "grad_a2": mixed.a2.grad}
    for key, value in found.items():
        assert value is not None
        record_parity(case, distance(value, case.tensor(key)), case.limit("gradients" if "grad" in key else "y"))
    assert mixed.effective.grad is None


class Replay:
    """A case's search, run as its description says, with the stored tensors."""

    def __init__(self, name: str, options: HypergradientOptions) -> None:
        self.case = Case(name)
        self.settings = self.case.hyperparameters
        self.model = tiny_bert(self.case)
        self.mixup = golden_mixup(self.case, self.model)
        s = self.settings
        groups = [
            g | {"params": [self.mixup.latent(p) for p in g["params"]]}  # type: ignore[attr-defined]
            for g in decay_groups(self.model, s["weight_decay_W"])
        ]
        lower = DecayAfterAdamW(groups, lr=s["lr_W"])
        upper = torch.optim.AdamW(self.mixup.attention, lr=s["lr_alpha"], weight_decay=s["weight_decay_alpha"])
        options = replace(options, radius=s["finite_difference_radius"])
        penalty = s.get("L1_factor_on_alpha", 0.0)
        self.step = BilevelStep(self.mixup, lower, upper, options, attention_l1=penalty)
        self.unclamped: dict[str, torch.Tensor] = {}
        self.worst: dict[str, float] = {}
        clamp = self.mixup.clamp

        def clamp_and_remember() -> None:
            self.unclamped = {k: v.detach().clone() for k, v in self.mixup.named_attention().items()}
            clamp()

        self.mixup.clamp = clamp_and_remember  # type: ignore[method-assign]

    def loss(self, part: str, iteration: int) -> torch.Tensor:
        return self.model(**self.case.batch(part, iteration)).loss  # type: ignore[no-any-return]

    def set_rates(self, t: int) -> None:
        s = self.settings
        length, warmup = s["schedule_length"], s.get("warmup_ratio", 0.0) * s["schedule_length"]
        for group in self.step.lower.param_groups:
            group["lr"] = s["lr_W"] * linear_rate(t, length, int(warmup))
        rate = self.step.upper.param_groups[0]["lr"] = s["lr_alpha"] * cosine_rate(t, length, warmup)
        self.compare("rates", torch.tensor(group["lr"], dtype=torch.float64), self.case.tensor("lr_W")[t])
        self.compare("rates", torch.tensor(rate, dtype=torch.float64), self.case.tensor("lr_alpha")[t])

    def first_lower_step(self, t: int) -> None:
        loss = self.step.lower_loss(partial(self.loss, "lower", t))
        loss.backward()
        self.step.pull_back()
        norm = nn.utils.clip_grad_norm_(self.mixup.lower.values(), self.settings["clip_norm_W"])
        key = next(key for key in ("loss/L1_first", "loss/L1_before", "loss/L1") if key in self.case.arrays)
        self.compare("losses, norms, u", loss, self.case.tensor(key)[t])
        key = "grad_norm/first" if "grad_norm/first" in self.case.arrays else "grad_norm"
        self.compare("losses, norms, u", norm, self.case.tensor(key)[t])
        self.step.before_lower_step()
        self.step.lower.step()
        self.step.lower.zero_grad()

    def compare(self, kind: str, found: torch.Tensor, expected: torch.Tensor) -> None:
        self.worst[kind] = max(self.worst.get(kind, 0.0), distance(found, expected))

    def compare_weights(self, prefix: str, row: int) -> None:
        for name, expected in self.case.group(f"{prefix}/").items():
            self.compare("W, logits", self.mixup.lower[name], expected[row])

    def compare_attention(self, found: object, t: int, xi: float) -> None:
        from amix.mixup.hypergradient import Hypergradient

        assert isinstance(found, Hypergradient)
        assert found.displacement is not None
        assert found.epsilon is not None
        factors = self.mixup.named_attention()
        for name, direct, total in zip(factors, found.direct, found.total(), strict=True):
            self.compare("d", direct, self.case.tensor(f"d/{name}")[t])
            self.compare("h", total, self.case.tensor(f"h/{name}")[t])
            self.compare("alpha", factors[name], self.case.tensor(f"alpha/{name}")[t + 1])
            self.compare("alpha", self.unclamped[name], self.case.tensor(f"alpha_unclamped/{name}")[t])
        for name, expected in self.case.group("v/").items():
            self.compare("v", whole(found.displacement[name]) / found.epsilon / xi, expected[t])
        self.compare("v", found.epsilon * xi, self.case.tensor("epsilon")[t])

    def finish(self) -> dict[str, float]:
        self.mixup.export()
        self.model.eval()
        probe = {k: v for k, v in self.case.batch("probe").items() if k != "labels"}
        self.compare("W, logits", self.model(**probe).logits, self.case.tensor("probe_logits"))
        state = dict(self.model.named_parameters())
        for name, expected in self.case.group("final_eff/").items():
            if NOISE not in name:
                self.compare("W, logits", state[name], expected)
        for name, expected in self.case.group("final_W/").items():
            if NOISE not in name:
                self.compare("W, logits", self.mixup.lower[name], expected)
        return self.worst


MEANT_BY = {
    "losses, norms, d, u": ("losses, norms, u", "d"),
    "losses, gradient norms": ("losses, norms, u",),
    "d, v": ("d", "v"),
}
"""The kinds of numbers that a case has tolerances for."""


def check(case: Case, worst: dict[str, float], record_parity: Parity) -> None:
    print({kind: f"{value:.1e}" for kind, value in worst.items()})
    limits: dict[str, float] = {}
    for kinds, value in case.tolerance.items():
        if isinstance(value, float):
            limits |= dict.fromkeys(MEANT_BY.get(kinds, (kinds,)), value)
    limits["rates"] = limits["losses, norms, u"]
    for kind, value in worst.items():
        record_parity(case, value, limits[kind])


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_as_run_matches_the_released_code(name: str, record_parity: Parity) -> None:
    replay = Replay(name, ReleasedCodeConfig().hypergradient_options())
    case = replay.case
    for t in range(replay.settings["iterations"]):
        replay.set_rates(t)
        replay.first_lower_step(t)
        replay.compare_weights("W_after_first_update", t)
        found = replay.step.attention_step(partial(replay.loss, "upper", t))
        replay.compare("losses, norms, u", found.upper_loss, case.tensor("loss/L2")[t])
        replay.compare_attention(found, t, xi=1.0)
        leave_displaced(replay.step, found)
        replay.compare_weights("W_before_second_update", t)
        again = second_lower_step(replay.step, partial(replay.loss, "lower", t), t == 0, replay.settings["clip_norm_W"])
        replay.compare("losses, norms, u", again, case.tensor("loss/L1_second")[t])
        replay.compare_weights("W", t + 1)
    check(case, replay.finish(), record_parity)


def no_data() -> Encoded:
    ids = torch.ones(1, 2, dtype=torch.int64)
    return Encoded({"input_ids": ids, "attention_mask": ids}, torch.tensor([2]), torch.tensor([0]))


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_registered_method_matches_the_released_code(name: str, record_parity: Parity) -> None:
    """The registered class in the training loop: optimizers, schedules, clipping, order of the steps."""
    case = Case(name)
    s = case.hyperparameters
    model = tiny_bert(case)
    mixup = golden_mixup(case, model)
    config = ReleasedCodeConfig(
        attention_lr=s["lr_alpha"], attention_weight_decay=s["weight_decay_alpha"],
        attention_warmup_ratio=s["warmup_ratio"], radius=s["finite_difference_radius"],
        attention_l1=s["L1_factor_on_alpha"],
    )  # fmt: skip
    recipe = Recipe(
        lr=s["lr_W"], steps=s["schedule_length"], warmup_ratio=s["warmup_ratio"], weight_decay=s["weight_decay_W"],
        clip_norm=s["clip_norm_W"],
    )  # fmt: skip
    fit = Fit(find_task("sst2"), recipe, 1017, no_data(), no_data())
    method = config.rule(config, mixup, no_data())
    assert isinstance(method, ReleasedCode)
    start(method, model, fit)
    method.upper_batches = iter([case.batch("upper", t) for t in range(s["iterations"])])
    worst = {"W, logits": 0.0, "alpha": 0.0}
    for t in range(s["iterations"]):
        train_step(method, model, case.batch("lower", t), fit)
        for parameter, expected in case.group("W/").items():
            if NOISE not in parameter:
                worst["W, logits"] = max(worst["W, logits"], distance(mixup.lower[parameter], expected[t + 1]))
        for factor, value in mixup.named_attention().items():
            worst["alpha"] = max(worst["alpha"], distance(value, case.tensor(f"alpha/{factor}")[t + 1]))
    check(case, worst, record_parity)


@pytest.mark.parametrize("name", cases("agwm_intended_*"))
@pytest.mark.parametrize("estimator", ["central", "exact"])
def test_the_intended_search_matches_its_description(name: str, estimator: str, record_parity: Parity) -> None:
    settings = Case(name).hyperparameters
    adam = settings["preconditioner"] == "adam-rms"
    options = HypergradientOptions(
        estimator=estimator,  # type: ignore[arg-type]
        preconditioner="adam" if adam else "identity",
        xi=1.0 if adam else None,
    )
    replay = Replay(name, options)
    for t in range(settings["iterations"]):
        replay.set_rates(t)
        replay.first_lower_step(t)
        before = {key: value.detach().clone() for key, value in replay.mixup.lower.items()}
        found = replay.step.attention_step(partial(replay.loss, "upper", t))
        for key, value in replay.mixup.lower.items():
            assert torch.equal(value, before[key]), key
        if estimator == "exact":
            assert found.implicit is not None
            for key, implicit in zip(replay.mixup.named_attention(), found.implicit, strict=True):
                replay.compare("h", implicit, replay.case.tensor(f"implicit_exact/{key}")[t])
            break  # The stored trajectory continues with the finite difference.
        replay.compare_attention(found, t, xi=float(replay.case.tensor("xi")[t]))
        replay.compare_weights("W", t + 1)
    check(replay.case, replay.worst if estimator == "exact" else replay.finish(), record_parity)


def two_layers(case: Case) -> nn.Sequential:
    s = case.hyperparameters
    activation = {"tanh": nn.Tanh(), "gelu": nn.GELU()}[s["act"]]
    return nn.Sequential(nn.Linear(s["din"], s["hid"]), activation, nn.Linear(s["hid"], s["dout"])).double()


@pytest.mark.parametrize("name", cases("agwm_exact_*"))
@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize(("estimator", "radius"), [("exact", "1e-2"), ("central", "1e-2"), ("central", "1e-3")])
def test_hypergradient_is_exact(name: str, point: str, estimator: str, radius: str, record_parity: Parity) -> None:
    """The radii are those in the names of the stored differences."""
    case = Case(name)
    s = case.hyperparameters
    model = two_layers(case)
    layers = {"0": "layer1", "2": "layer2"}
    pretrained = {f"{number}.weight": case.tensor(f"init/{layer}.W0") for number, layer in layers.items()}
    mixup = WeightMixup(model, pretrained, combination=s["mode"], modules=["."])
    with torch.no_grad():
        for number, layer in layers.items():
            mixup.lower[f"{number}.weight"].copy_(case.tensor(f"init/{layer}.W"))
            mixup.lower[f"{number}.bias"].copy_(case.tensor(f"init/{layer}.b"))
            for factor in ("a1", "a2"):
                mixup.named_attention()[f"{number}.{factor}"].copy_(case.tensor(f"init/{layer}.{factor}"))
    mixup.write()
    criterion = functional.mse_loss if s["loss"] == "mse" else functional.cross_entropy

    def loss(part: str) -> torch.Tensor:
        return criterion(model(case.tensor(f"{part}/x")), case.tensor(f"{part}/y"))

    options = HypergradientOptions(estimator, point, "identity", None, float(radius))  # type: ignore[arg-type]
    lower = torch.optim.SGD(mixup.lower.values(), lr=s["xi"])
    step = BilevelStep(mixup, lower, torch.optim.SGD(mixup.attention, lr=0.0), options)
    found = step(lambda: loss("lower"), lambda: loss("upper"))
    assert found.implicit is not None
    exact = case.limit("total")
    record_parity(case, distance(found.upper_loss, case.tensor("loss/L2")), exact)
    for number, layer in layers.items():
        record_parity(case, distance(mixup.lower[f"{number}.weight"], case.tensor(f"stepped/{layer}.W")), exact)
    suffix = "" if point == "before" else "_at_Wprime"
    key = f"implicit{suffix}"
    if estimator == "central":
        key = f"fd/R{radius}_at_{'W' if point == 'before' else 'Wprime'}"
    limit = exact if estimator == "exact" else case.limit("fd")
    for name, direct, implicit in zip(mixup.named_attention(), found.direct, found.implicit, strict=True):
        name = f"{layers[name[0]]}{name[1:]}"
        record_parity(case, distance(direct, case.tensor(f"direct/{name}")), exact)
        record_parity(case, distance(implicit, case.tensor(f"{key}/{name}")), limit)
        if estimator == "exact" and point == "before":
            record_parity(case, distance(direct + implicit, case.tensor(f"total/{name}")), exact)
