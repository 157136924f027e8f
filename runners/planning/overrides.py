"""A suite with the rows and seeds that the command line gives."""

import dataclasses

from amix.specs.data_errors import shown
from runners.planning.seeds import chosen_seeds
from runners.planning.suite import Row, Suite, SuiteError
from runners.planning.tuning_grid import method_of

LONGEST_SEED = 18
"""Digits of a seed that fits into 64 bits."""


def with_choices(suite: Suite, methods: str = "", seeds: str = "") -> Suite:
    """The suite with the rows and seeds that the command line gives.

    Args:
        suite: the suite.
        methods: comma-separated labels of the suite, registered names or path/to/file.py:ClassName; the reference is
            kept. A leading + adds to the suite's rows.
        seeds: comma-separated numbers, or preset[:first].

    Raises:
        SuiteError: a row or seed is unknown; the message gives the nearest names.
    """
    if methods:
        suite = dataclasses.replace(suite, methods=_chosen_rows(suite, methods))
        labels = [row.label for row in suite.methods]
        suite = dataclasses.replace(suite, protocol=suite.protocol.among(labels))
    if seeds:
        suite = dataclasses.replace(suite, seeds=_seeds_from_text(seeds))
    return suite


def _chosen_rows(suite: Suite, text: str) -> tuple[Row, ...]:
    rows = {row.label: row for row in suite.methods}
    names = [name.strip() for name in text.removeprefix("+").split(",") if name.strip()]
    kept = list(rows) if text.startswith("+") else [suite.protocol.reference]
    chosen = {label: rows[label] for label in kept}
    for name in names:
        row = rows.get(name) or _new_row(name)
        chosen[row.label] = row
    return tuple(chosen.values())


def _new_row(name: str) -> Row:
    method = method_of(Row(name, name), "--methods")
    return Row(method.name, name)


def _seeds_from_text(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    preset, colon, first = text.partition(":")
    content: object = {"preset": preset.strip(), "first": int(first)} if _is_number(first) else preset.strip()
    if parts and all(map(_is_number, parts)):
        content = [int(part) for part in parts]
    elif colon and not _is_number(first):
        raise SuiteError(f"--seeds: {shown(text)} is neither numbers with commas nor a preset such as name:6")
    try:
        return chosen_seeds(content)
    except ValueError as error:
        raise SuiteError(f"--{error}") from error


def _is_number(text: str) -> bool:
    """Whether a text is a seed: digits only, few enough to fit into 64 bits."""
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_SEED
