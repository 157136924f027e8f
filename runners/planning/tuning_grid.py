"""The settings that a tuning suite tries: the same number for every method, drawn from the grid in its class."""

import dataclasses
import itertools
import random
from typing import TYPE_CHECKING, Any

from amix.specs.encoders import find_encoder
from amix.specs.protocol import Tuning
from amix.specs.recipe import Recipe
from amix.specs.seed_sources import PRESETS
from amix.specs.suggestions import nearest
from runners.planning.suite import Row, Suite, SuiteError

if TYPE_CHECKING:
    from amix.training.method import Method

EXTERNAL = ".py:"
TUNING_SEEDS = frozenset(PRESETS["tuning"])
"""The seeds for tuning; no score with any of them is ever reported."""
Setting = tuple[dict[str, Any], dict[str, Any]]
"""A method's settings, and the changes to the recipe."""


def method_of(row: Row, where: str) -> "type[Method]":
    """The class behind a row.

    Args:
        row: the row.
        where: what stands before a message: the suite and `methods`, or an option.

    Raises:
        SuiteError: there is none; the message gives the nearest names.
    """
    from amix.training.method import MethodError
    from amix.training.registry import find_method, load_external

    try:
        return load_external(row.method) if EXTERNAL in row.method else find_method(row.method)
    except MethodError as error:
        raise SuiteError(f"{where}: {error}") from error


def methods_in(suite: Suite) -> str:
    """The place of a suite's rows, for messages."""
    return f"suite {suite.name}, methods"


def recipe_of(suite: Suite, row: Row) -> Recipe:
    """The recipe of a row: the encoder's, with the suite's changes and the row's own.

    Raises:
        SuiteError: a change is not an option of training, or out of its range.
    """
    try:
        return find_encoder(suite.encoder).recipe.with_changes({**suite.training, **row.training})
    except (TypeError, ValueError) as error:
        raise SuiteError(f"suite {suite.name}, {row.label}, training: {error}") from error


def check_seeds(suite: Suite) -> None:
    """Keep the seeds for tuning apart from those that are reported.

    Raises:
        SuiteError: a tuning suite has other seeds, or a suite that reports scores has these.
    """
    known = ", ".join(map(str, sorted(TUNING_SEEDS)))
    if suite.tuning and not TUNING_SEEDS.issuperset(suite.used_seeds):
        others = sorted(suite.used_seeds - TUNING_SEEDS)
        raise SuiteError(
            f"suite {suite.name}, seeds: tuning takes only those of the preset 'tuning' ({known}), so that no reported "
            f"run shares one, not {others}"
        )
    if suite.tuning or suite.protocol.split != "test":
        return
    chosen_with = find_encoder(suite.encoder).chosen_with
    for what, seeds in (("are kept for tuning", TUNING_SEEDS), (f"chose the recipe of {suite.encoder}", chosen_with)):
        overlap = sorted(suite.used_seeds & set(seeds))
        if overlap:
            raise SuiteError(f"suite {suite.name}, seeds: {overlap} {what} and must not be reported")


def expanded(suite: Suite) -> Suite:
    """A tuning suite with one row for every setting to try instead of its methods; any other suite unchanged.

    Raises:
        SuiteError: the suite may not tune.
    """
    if suite.tuning is None or all(row.trial for row in suite.methods):
        return suite
    _check_tuning(suite)
    trials = {row.label: [row] if row.trial else trial_rows(suite, row, suite.tuning) for row in suite.methods}
    (reference,) = trials[suite.protocol.reference][:1]
    return dataclasses.replace(
        suite,
        methods=tuple(itertools.chain.from_iterable(trials.values())),
        protocol=suite.protocol.model_copy(update={"reference": reference.label, "focus": None}),
    )


def _check_tuning(suite: Suite) -> None:
    if suite.protocol.split != "dev":
        raise SuiteError(f"suite {suite.name}: settings are chosen on dev data; set protocol: {{split: dev}}")
    if len(suite.sizes) != 1:
        raise SuiteError(f"suite {suite.name}, sizes: settings are chosen at one size")
    names = [method_of(row, methods_in(suite)).name for row in suite.methods if not row.trial]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SuiteError(f"suite {suite.name}: each method is tuned once, but {', '.join(repeated)} is listed twice")


def check_grid(suite: Suite, row: Row, method: "type[Method]") -> None:
    """Refuse a grid of settings that neither the method nor a recipe has, whether or not the suite tries them.

    Raises:
        SuiteError: the unknown name, with the nearest ones.
    """
    known = sorted({field.name for kind in (method.Config, Recipe) for field in dataclasses.fields(kind)})
    for name in row.grid:
        if name not in known:
            raise SuiteError(f"{methods_in(suite)}: {row.label}: grid: unknown '{name}'; {nearest(name, known)}")


def trial_rows(suite: Suite, row: Row, tuning: Tuning) -> list[Row]:
    """The first `budget` settings of a shuffle of the row's search space; all of them where there are fewer."""
    method = method_of(row, methods_in(suite))
    settings = search_space(method, row, recipe_of(suite, row))
    # Seeded by the method too: otherwise two grids of one shape would be searched at the same places.
    random.Random(f"{tuning.shuffle} {method.name}").shuffle(settings)
    return [
        dataclasses.replace(
            row,
            label=_label(row, config, training),
            config=row.config | config,
            training=row.training | training,
            trial=True,
        )
        for config, training in settings[: tuning.budget]
    ]


def search_space(method: "type[Method]", row: Row, recipe: Recipe) -> list[Setting]:
    """Every combination of the method's grid with the factors on the recipe; the row's own settings are kept.

    A method that has its own setting for the learning rate or the epochs (`lr`, or `lr_factor`) tries that one instead
    of the recipe's, and a method without gradient steps has no recipe. A row's own grid, in absolute values, replaces
    both.
    """
    fields = {field.name for field in dataclasses.fields(method.Config)}
    own = {name: values for name, values in method.info.grid.items() if name not in row.config}
    factors = method.info.recipe_search_space if method.info.trains_by_steps else {}
    searched = [name for name in factors if name not in row.training and not fields & {name, f"{name}_factor"}]
    shared = dict(_scaled(recipe, name, factors[name]) for name in searched)
    if row.grid:
        own = {name: values for name, values in row.grid.items() if name in fields}
        shared = {name: values for name, values in row.grid.items() if name not in fields}
    return [
        (dict(zip(own, values[: len(own)], strict=True)), dict(zip(shared, values[len(own) :], strict=True)))
        for values in itertools.product(*own.values(), *shared.values())
    ]


def _scaled(recipe: Recipe, name: str, factors: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """The recipe's setting times the factors; for a recipe that counts in steps, epochs are its steps."""
    name = "steps" if name == "epochs" and recipe.steps is not None else name
    value = getattr(recipe, name)
    scaled = (factor * value for factor in factors)
    return name, tuple(max(1, round(number)) if isinstance(value, int) else number for number in scaled)


def _label(row: Row, settings: dict[str, Any], training: dict[str, Any]) -> str:
    shown = [f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in settings.items()]
    shown += [f"{name}={value:g}" for name, value in training.items()]
    return " ".join([row.label, *shown])
