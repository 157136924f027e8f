"""The settings that tuning chose: one file per encoder, written by `tune` and read by suites that ask for it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from amix.specs.encoder_files import public_name
from amix.specs.encoders import Encoder
from amix.specs.store import write_atomically
from results.analysis.tuning import Choice
from results.loading.layout import Layout
from runners.planning.suite import PAPER, TUNED, Row, Suite, SuiteError, Tuning, yaml_value
from runners.planning.tuning_grid import method_of

FOLDER = Path(__file__).parent.parent / "hyperparameters"
HEADER = "# Chosen on dev data by: python -m runners tune. Settings are absolute; the rest says how they were found.\n"


def file_of(encoder: str | Encoder, layout: Layout) -> Path:
    """Where the tuned settings of an encoder lie: with the project, or in the output tree asked for."""
    folder = layout.out / "hyperparameters" if layout.out else FOLDER
    return folder / f"{public_name(encoder).replace('/', '--')}.yaml"


def with_tuned(suite: Suite) -> tuple[Row, ...]:
    """The suite's rows with the tuned settings of their methods, where the suite asks for these.

    What a row sets itself stays as it is. Errors: SuiteError where a method has no tuned settings or a seed of the
    suite was used to find them.
    """
    if suite.hyperparameters == PAPER:
        return suite.methods
    path = file_of(suite.encoder, Layout()) if suite.hyperparameters == TUNED else Path(suite.hyperparameters)
    entries = read(path)
    return tuple(_tuned(suite, row, path, entries) for row in suite.methods)


def _tuned(suite: Suite, row: Row, path: Path, entries: Mapping[str, Any]) -> Row:
    name = method_of(row).name
    if name not in entries:
        raise SuiteError(
            f"suite {suite.name}, hyperparameters: {path} has no tuned settings of '{name}' for {suite.encoder}; find "
            f"them with: python -m runners tune --suite FILE --methods +{row.method}, the file being a suite for "
            f"{suite.encoder} with 'tuning: {{budget: ...}}' (tune-embedded.yaml shows one), or say hyperparameters: "
            f"{PAPER}"
        )
    entry = entries[name]
    shared = sorted(suite.used_seeds & set(entry["found"]["seeds"]))
    if shared:
        raise SuiteError(f"suite {suite.name}, seeds: {shared} chose the settings of '{name}' ({path})")
    return dataclasses.replace(row, config=entry["settings"] | row.config, training=entry["training"] | row.training)


def read(path: Path) -> dict[str, Any]:
    """The entries of a file of tuned settings by method; none where there is no such file. Errors: SuiteError."""
    if not path.exists():
        return {}
    content = yaml_value(path.read_text())
    if not isinstance(content, dict) or not isinstance(content.get("methods"), dict):
        raise SuiteError(f"{path}: is no file of tuned settings")
    entries: dict[str, Any] = content["methods"]
    return entries


def write(suite: Suite, choices: Mapping[str, Choice], layout: Layout) -> Path:
    """Put the chosen settings of every method into the encoder's file; those of other methods stay."""
    assert suite.tuning is not None
    path = file_of(suite.encoder, layout)
    rows = {row.label: row for row in suite.methods}
    entries = read(path) | {
        method: _entry(suite, suite.tuning, rows[choice.label], choice) for method, choice in choices.items()
    }
    content = {"encoder": public_name(suite.encoder), "methods": dict(sorted(entries.items()))}
    write_atomically(path, (HEADER + yaml.safe_dump(content, sort_keys=False, width=120)).encode())
    return path


def _entry(suite: Suite, tuning: Tuning, row: Row, choice: Choice) -> dict[str, Any]:
    (size,) = suite.sizes
    return {
        "settings": _plain(row.config),
        "training": _plain(row.training),
        "found": {
            "suite": suite.name,
            "dev_score": round(choice.score, 4),
            "tried": choice.tried,
            "budget": tuning.budget,
            "shuffle": tuning.shuffle,
            "n_train": dict(size) if isinstance(size, Mapping) else size,
            "seeds": sorted(suite.used_seeds) if suite.seed_sources else list(suite.seeds),
            "tasks": [task.name for task in suite.tasks],
            "selection": suite.protocol.selection,
            "recipe": _plain(suite.training),
        },
    }


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
