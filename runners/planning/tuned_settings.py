"""The settings that tuning chose: a file per encoder or of its own, written by `tune` and read by other suites."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from amix.specs.encoder_files import public_name
from amix.specs.encoders import Encoder
from amix.specs.protocol import Tuning
from amix.specs.run_plan import Size
from amix.specs.spec_model import ItemsOf, SpecModel, problem
from amix.specs.store import write_atomically
from amix.specs.yaml_files import YamlError, read_yaml
from results.analysis.tuning import Choice
from results.loading.layout import Layout
from runners.planning.suite import Row, Suite, SuiteError
from runners.planning.suite_file import PAPER, TUNED, RecipeChanges
from runners.planning.tuning_grid import method_of, methods_in

FOLDER = Path(__file__).parent.parent / "hyperparameters"
HEADER = "# Chosen on dev data by: python -m runners tune. Settings are absolute; the rest says how they were found.\n"


class Found(SpecModel):
    """How settings were chosen."""

    suite: str = ""
    """The tuning suite."""
    dev_score: float | None = None
    """Mean dev score over its tasks and seeds, in points."""
    tried: int | None = None
    """How many settings were tried."""
    budget: int | None = None
    shuffle: int = 0
    n_train: Size = None
    seeds: ItemsOf[int]
    """Seeds that the settings were chosen with; no score is reported with them."""
    tasks: ItemsOf[str] = ()
    selection: str = ""
    recipe: RecipeChanges = {}
    """What the tuning suite changed in the encoder's recipe."""


class TunedEntry(SpecModel):
    """The settings chosen for one method."""

    settings: dict[str, Any] = {}
    """The method's own settings."""
    training: RecipeChanges = {}
    """What differs from the encoder's recipe."""
    found: Found


class TunedFile(SpecModel):
    """The tuned settings for one encoder, by method."""

    encoder: str = ""
    """The encoder that they were tuned for."""
    methods: dict[str, TunedEntry] = Field(min_length=1)


def file_of(suite: Suite, layout: Layout) -> Path:
    """The file that the suite names, else its encoder's; with an output folder, a file of the same name there."""
    named = suite.hyperparameters not in (PAPER, TUNED)
    file = Path(suite.hyperparameters) if named else FOLDER / f"{public_name(suite.encoder).replace('/', '--')}.yaml"
    return layout.out / "hyperparameters" / file.name if layout.out else file


def with_tuned(suite: Suite) -> tuple[Row, ...]:
    """The suite's rows with the tuned settings of their methods, if the suite asks for these.

    A row's own settings take precedence. In a suite that tunes, the file is the one to be written.

    Raises:
        SuiteError: a method has no tuned settings, or a seed of the suite was used for tuning.
    """
    if suite.hyperparameters == PAPER or suite.tuning is not None:
        return suite.methods
    path = file_of(suite, Layout())
    entries = read(path, suite.encoder)
    return tuple(_tuned(suite, row, path, entries) for row in suite.methods)


def _tuned(suite: Suite, row: Row, path: Path, entries: Mapping[str, TunedEntry]) -> Row:
    name = method_of(row, methods_in(suite)).name
    if name not in entries:
        raise SuiteError(
            f"suite {suite.name}, hyperparameters: {path} has no tuned settings of '{name}' for {suite.encoder}; tune "
            f"it with: python -m runners tune --suite FILE --methods +{row.method}, where FILE is a suite for "
            f"{suite.encoder} with 'tuning: {{budget: ...}}' (see tune-embedded.yaml), or set hyperparameters: {PAPER}"
        )
    entry = entries[name]
    shared = sorted(suite.used_seeds & set(entry.found.seeds))
    if shared:
        raise SuiteError(
            f"suite {suite.name}, seeds: {shared} were used to tune '{name}' ({path}) and must not be reported"
        )
    return dataclasses.replace(row, config=entry.settings | row.config, training=entry.training | row.training)


def read(path: Path, encoder: str | Encoder) -> dict[str, TunedEntry]:
    """The entries of a file of tuned settings, by method; empty if there is no such file.

    Raises:
        SuiteError: what is wrong with the file, in one line; also that it is for another encoder.
    """
    if not path.exists() and not path.is_symlink():
        return {}
    try:
        file = TunedFile.model_validate(read_yaml(path))
    except YamlError as error:
        raise SuiteError(str(error)) from error
    except ValidationError as error:
        raise SuiteError(f"{path} is not a file of tuned settings: {problem(error)}") from error
    if file.encoder not in ("", name := public_name(encoder)):
        raise SuiteError(
            f"{path}, encoder: the settings were tuned for {file.encoder}, and the suite is for {name}; to use them "
            "all the same, delete that line"
        )
    return file.methods


def write(suite: Suite, choices: Mapping[str, Choice], layout: Layout) -> Path:
    """Write the chosen settings of every method into the suite's file; settings of other methods are kept.

    Returns:
        The file.
    """
    assert suite.tuning is not None
    path = file_of(suite, layout)
    rows = {row.label: row for row in suite.methods}
    entries = read(path, suite.encoder) | {
        method: _entry(suite, suite.tuning, rows[choice.label], choice) for method, choice in choices.items()
    }
    chosen = TunedFile(encoder=public_name(suite.encoder), methods=dict(sorted(entries.items())))
    content = chosen.model_dump(mode="json")
    write_atomically(path, (HEADER + yaml.safe_dump(content, sort_keys=False, width=120)).encode())
    return path


def _entry(suite: Suite, tuning: Tuning, row: Row, choice: Choice) -> TunedEntry:
    (size,) = suite.sizes
    found = Found(
        suite=suite.name,
        dev_score=round(choice.score, 4),
        tried=choice.tried,
        budget=tuning.budget,
        shuffle=tuning.shuffle,
        n_train=size,
        seeds=tuple(sorted(suite.used_seeds)) if suite.seed_sources else suite.seeds,
        tasks=tuple(task.name for task in suite.tasks),
        selection=suite.protocol.selection,
        recipe=suite.training,
    )
    return TunedEntry(settings=row.config, training=row.training, found=found)
