"""The cost of the weight mixup's search: per iteration, per whole run, and against the published implementation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from amix.agwm.method import AGWM, AGWMConfig
from amix.agwm.presets import AGWMFast
from amix.specs.recipe import Recipe
from amix.training.loop import start, train_step
from amix.training.method import Method
from amix.training.registry import find_method
from amix.training.settings import make_config
from baselines.vanilla import Vanilla
from runners.benchmarks.agwm_memory import measure_memory
from runners.benchmarks.published_model import BACKWARD_PASSES, FORWARD_PASSES, PublishedSearch
from runners.benchmarks.workload import QUICK, Measured, Step, Workload, beside_plain, plain_pass
from runners.planning.suite import Row, find_suite

PRESETS_SUITE = "ablation"
N_TRAIN = 300
ESTIMATORS: dict[str, dict[str, Any]] = {
    "central": {},
    "forward": {"estimator": "forward", "point": "before"},
    "first_order": {"estimator": "first_order"},
    "exact": {"estimator": "exact"},
}
ITERATION_LIMITS = {"central": 4.3, "forward": 3.3, "first_order": 2.25}
SPEED_UP_LIMITS = {"central": 2.2, "forward": 2.8, "first_order": 4.0}
RUN_LIMITS = {"central": 19.0, "forward": 15.0, "first_order": 11.0, AGWMFast.name: 5.0}
MEMORY_LIMIT = 1.35
FLATNESS_LIMIT = 1.1
FORM = ("rank", "combination", "share", "parameterisation", "attention_start", "attention_limit")
"""The settings that define the form of the attention."""
TIMED = (
    *FORM, "modules", "attention", "attention_every", "attention_epochs", "estimator", "point", "preconditioner",
    "masks", "full_precision",
)  # fmt: skip
"""The settings on which the time of an iteration depends."""


@dataclass(frozen=True)
class Line:
    """One measured quantity.

    Attributes:
        group: what kind of quantity it is.
        name: what was measured.
        measured: its value.
        unit: its unit.
        limit: its bound; None without a promise.
        least: whether the limit is a lower bound instead of an upper one.
        passes: the same cost in forward and backward passes, relative to a plain run's.
        seconds: its time.
    """

    group: str
    name: str
    measured: float
    unit: str
    limit: float | None = None
    least: bool = False
    passes: float | None = None
    seconds: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        if self.limit is None:
            return None
        return self.measured >= self.limit if self.least else self.measured <= self.limit

    def text(self) -> str:
        """Measured value and limit side by side, for the terminal."""
        shown = f"{self.group}: {self.name}: {self.measured:.2f} {self.unit}"
        if self.limit is not None:
            shown += (
                f" (limit: at {'least' if self.least else 'most'} {self.limit:g}, {'kept' if self.holds else 'MISSED'})"
            )
        shown += "" if self.passes is None else f", {self.passes:.2f} times the passes"
        return shown + ("" if self.seconds is None else f", {self.seconds:.3g} s")


class IterationTimes:
    """Seconds per update of every kind of training step; each kind is measured once, alternating with plain passes."""

    def __init__(self, workload: Workload, repeats: int) -> None:
        self.workload, self.repeats = workload, repeats
        self.fit = workload.fit()
        self.batch = next(self.fit.batches(0))
        self.plain = plain_pass(workload.model(), self.fit, self.batch)
        self.known: dict[Any, Measured] = {}

    def search(self, settings: AGWMConfig) -> Measured:
        """An iteration of the search, averaged over attention_every of them."""
        kind = AGWMConfig(**{name: getattr(settings, name) for name in TIMED})
        every = kind.attention_every
        return self._once(kind, lambda: self.step(kind)).per(every)

    def vanilla(self) -> Measured:
        """A step of plain finetuning, including its update."""
        return self._once("vanilla", self._vanilla_step)

    def published(self) -> Measured:
        """An iteration of our model of the published implementation."""
        return self._once("published", lambda: PublishedSearch(self.workload.model(), self.fit, self.batch, self.batch))

    def _once(self, kind: Any, make: Callable[[], Step]) -> Measured:
        if kind not in self.known:
            repeats = -(-self.repeats // getattr(kind, "attention_every", 1))
            self.known[kind] = beside_plain(make(), self.plain, repeats)
        return self.known[kind]

    def _vanilla_step(self) -> Step:
        method, model, fit = Method(), self.workload.model(), self.workload.fit()
        start(method, model, fit)
        return lambda: train_step(method, model, self.batch, fit)

    def step(self, kind: AGWMConfig) -> Step:
        """A step that makes attention_every iterations of a new search."""
        model, fit = self.workload.model(), self.workload.fit()
        mixup = kind.mixup(model, None)
        mixup.draw_attention(kind.attention_std)
        method = kind.rule(kind, mixup, fit.train)
        start(method, model, fit)

        def step() -> None:
            for _ in range(kind.attention_every):
                train_step(method, model, self.batch, fit)

        return step


def measure(
    workload: Workload, repeats: int, presets: bool = True, memory: bool = True, between: int = 0
) -> Iterator[Line]:
    """All lines of the benchmark, as they are measured.

    Args:
        workload: encoder and batch.
        repeats: alternating measurements of each step.
        presets: whether to measure whole runs of every row of the ablation.
        memory: whether to measure peak memory, in separate processes.
        between: iterations of a tiny encoder after which time is measured again, to show that it stays flat; 0 skips
            this.
    """
    torch.set_num_threads(1)
    times = IterationTimes(workload, repeats)
    yield from iteration_lines(times)
    yield from run_lines(times, _named_rows() + (_preset_rows() if presets else []))
    if between:
        yield from flatness_lines(IterationTimes(QUICK, 5 * repeats), between)
    if memory:
        yield from memory_lines(workload)


def iteration_lines(times: IterationTimes) -> Iterator[Line]:
    """An iteration against a plain pass, and an iteration of the published implementation against ours."""
    ours = {name: times.search(AGWMConfig(**settings)) for name, settings in ESTIMATORS.items()}
    for name, time in ours.items():
        yield Line("iteration", name, time.ratio, "plain passes", ITERATION_LIMITS.get(name), seconds=time.seconds)
    if torch.cuda.is_available():
        yield from _bfloat16_lines(times)
    published = times.published()
    yield Line("iteration", "published (model)", published.ratio, "plain passes", seconds=published.seconds)
    for name, limit in SPEED_UP_LIMITS.items():
        yield Line("speed-up over published", name, published.ratio / ours[name].ratio, "times", limit, least=True)


def _bfloat16_lines(times: IterationTimes) -> Iterator[Line]:
    """Iterations whose perturbed passes stay in bfloat16; the presets run them in full precision (SearchConfig)."""
    for name in ("central", "forward"):
        time = times.search(AGWMConfig(**ESTIMATORS[name], full_precision=False))
        label = f"{name}, all passes in bfloat16"
        yield Line("iteration", label, time.ratio, "plain passes", seconds=time.seconds)


def run_lines(times: IterationTimes, rows: Sequence[Row]) -> Iterator[Line]:
    """Whole runs on 300 examples with the published recipe, computed from iteration times, against a plain run."""
    recipe = Recipe(batch_size=times.workload.batch_size)
    plain = recipe.total_steps(N_TRAIN) * times.vanilla().ratio
    unit = times.vanilla().plain_seconds
    for row in rows:
        cls = find_method(row.method)
        method = cls(make_config(cls, row.config))
        cost = run_cost(method, times, recipe)
        passes = method.relative_passes(N_TRAIN, recipe)
        yield Line(
            "whole run", row.label, cost / plain, "plain runs", RUN_LIMITS.get(row.label), passes=passes,
            seconds=cost * unit,
        )  # fmt: skip
    released = AGWMConfig(attention="as_run")
    iterations = released.splits * released.iterations(N_TRAIN, recipe.batch_size)
    search, steps = iterations * times.published().ratio, recipe.total_steps(N_TRAIN)
    passes = (iterations * (FORWARD_PASSES + BACKWARD_PASSES) / 2 + steps) / steps
    yield Line(
        "whole run", "published (model)", (search + plain) / plain, "plain runs", passes=passes,
        seconds=(search + plain) * unit,
    )  # fmt: skip


def run_cost(method: Method, times: IterationTimes, recipe: Recipe) -> float:
    """Time of a whole run in plain passes."""
    steps = recipe.total_steps(N_TRAIN)
    if not isinstance(method, AGWM):
        return method.relative_passes(N_TRAIN, recipe) * steps * times.vanilla().ratio
    config: AGWMConfig = method.config
    form = {name: getattr(config, name) for name in FORM}
    fixed = times.search(AGWMConfig(attention="fixed", **form)).ratio
    iterations = config.iterations(N_TRAIN, recipe.batch_size)
    cycles = config.attention_steps(iterations)
    # The last cycle of a split may have fewer than attention_every iterations.
    left_out = cycles * config.attention_every - iterations
    split = cycles * config.attention_every * times.search(config).ratio - left_out * fixed
    held_out = N_TRAIN - config.lower_count(N_TRAIN)
    split += config.rule.passes_afterwards(config, held_out, recipe.batch_size) * fixed
    return config.splits * split + steps * config.finetune * fixed


def _named_rows() -> list[Row]:
    """The rows whose whole runs have a limit."""
    return (
        [Row(Vanilla.name, Vanilla.name)]
        + [Row(name, AGWM.name, settings) for name, settings in ESTIMATORS.items() if name in RUN_LIMITS]
        + [Row(AGWMFast.name, AGWMFast.name)]
    )


def _preset_rows() -> list[Row]:
    """Every row of the ablation that is not among the named ones."""
    named = (Vanilla.name, AGWM.name, AGWMFast.name)
    return [row for row in find_suite(PRESETS_SUITE).methods if row.label not in named]


def flatness_lines(times: IterationTimes, between: int) -> Iterator[Line]:
    """Time of an iteration after `between` others, against the first ones of a search."""
    for name, settings in ESTIMATORS.items():
        step = times.step(AGWMConfig(**settings))
        early = beside_plain(step, times.plain, times.repeats)
        for _ in range(between):
            step()
        late = beside_plain(step, times.plain, times.repeats)
        ratio = late.ratio / early.ratio
        yield Line("flatness", f"{name}, after {between} iterations", ratio, "times the first", FLATNESS_LIMIT)


def memory_lines(workload: Workload) -> Iterator[Line]:
    """Peak memory of a search and of plain training of the same model, each in its own process."""
    plain = measure_memory(workload, None)
    yield Line("peak memory", "vanilla", plain / 2**20, "MiB")
    for name, settings in ESTIMATORS.items():
        peak = measure_memory(workload, settings)
        limit = MEMORY_LIMIT if name in ITERATION_LIMITS else None
        yield Line("peak memory", name, peak / plain, "times vanilla", limit)
    for name in ITERATION_LIMITS:
        several = measure_memory(workload, ESTIMATORS[name] | {"splits": AGWMConfig.splits})
        yield Line("peak memory", f"{name}, all splits", several / plain, "times vanilla", MEMORY_LIMIT)
