"""Tables for the terminal: methods, tasks, encoders, suites, and a plan before it runs."""

from collections.abc import Iterable

from rich.table import Table

import results.tabulating.table
from amix.specs.encoders import ENCODERS, find_encoder
from amix.specs.run_plan import size_name
from amix.specs.tasks import TASKS
from amix.specs.wording import counted
from amix.training.method import Method, MethodError
from amix.training.registry import built_in_methods
from results.loading.wording import duration
from results.tabulating.methods import Entry, measured_parity, registry_table
from runners.benchmarks.trained_share import trainable_share
from runners.cli.options import DEFAULT_ENCODER, PUBLISHED_SIZE
from runners.planning.plan import SuitePlan, count_runs
from runners.planning.suite import find_suite, suite_names
from runners.sweeping.todo import Todo


def _table(title: str, headers: Iterable[str], numbers: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    right = set(numbers)
    for header in headers:
        table.add_column(header, justify="right" if header in right else "left", overflow="fold")
    return table


def methods_table(methods: Iterable[type[Method]], encoder: str, size: int) -> results.tabulating.table.Table:
    """Methods with their papers, costs on `size` examples, the share of the encoder that they train, and parity."""
    recipe = find_encoder(encoder).recipe
    entries = [
        Entry(
            name=method.name,
            kind=method.info.kind,
            year=method.info.year,
            paper=method.info.paper,
            passes=method.info.passes,
            run_passes=method().relative_passes(size, recipe),
            trained=_trained(method, encoder, size),
            parity=measured_parity(method.info.parity, method.info.cases),
            regression=method.info.regression,
        )
        for method in methods
    ]
    return registry_table(entries, encoder, size)


def _trained(method: type[Method], encoder: str, size: int) -> float | None:
    """The share that a method trains; None where it needs a head that the encoder has not."""
    try:
        return trainable_share(method, encoder, size)
    except MethodError:
        if not method.info.needs_language_model:
            raise
        return None


def published_methods_table() -> results.tabulating.table.Table:
    """The table of the project's own methods as committed."""
    return methods_table(built_in_methods().values(), DEFAULT_ENCODER, PUBLISHED_SIZE)


def tasks_table() -> Table:
    """Every task with its texts, labels and metrics, the primary one first."""
    table = _table("Tasks", ("name", "title", "data", "text", "labels", "metrics"))
    for task in TASKS.values():
        labels = ", ".join(task.labels) if task.labels else "a number"
        table.add_row(task.name, task.title, task.origin, ", ".join(task.text), labels, ", ".join(task.metrics))
    return table


def encoders_table() -> Table:
    """Every encoder alias with its source and recipe."""
    numbers = ("layers", "lr", "epochs", "batch", "warm-up", "decay", "clip", "max length")
    headers = ("name", "source", "pooling", *numbers, "seen in its training")
    table = _table("Encoders (any Hub id or local folder works too)", headers, numbers)
    for encoder in ENCODERS.values():
        recipe = encoder.recipe
        table.add_row(
            encoder.name,
            encoder.source,
            encoder.pooling,
            "all" if encoder.layers is None else str(encoder.layers),
            f"{recipe.lr:g}",
            str(recipe.epochs),
            str(recipe.batch_size),
            f"{recipe.warmup_ratio:g}",
            f"{recipe.weight_decay:g}",
            f"{recipe.clip_norm:g}",
            str(recipe.max_length),
            ", ".join(task for task, _ in encoder.seen),
        )
    return table


def suites_table() -> Table:
    """The suites that come with the project."""
    table = _table("Suites", ("name", "title", "encoder", "runs"), ("runs",))
    for name in suite_names():
        suite = find_suite(name)
        table.add_row(name, suite.title, str(suite.encoder), str(count_runs(suite)))
    return table


def plan_table(plan: SuitePlan, work: Todo) -> Table:
    """The plan by rows of the suite: how many runs there are, how many are left, and how long they will take."""
    suite = plan.suite
    tasks = ", ".join(task.name for task in suite.tasks)
    sizes = ", ".join(size_name(size) for size in suite.sizes)
    title = f"Suite {suite.name} on {suite.encoder}: {tasks}; N={sizes}; {counted(len(suite.seeds), 'seed')}"
    numbers = ("runs", "left", "time per run", "total time")
    table = _table(title, ("row", *numbers), numbers)
    for row in suite.methods:
        left = [run for run in work.runs if run.label == row.label]
        seconds = sum(work.expected[run.spec.key] for run in left)
        count = sum(run.label == row.label for run in plan.runs)
        each = duration(seconds / len(left)) if left else "-"
        table.add_row(row.label, str(count), str(len(left)), each, duration(seconds) if left else "-")
    return table
