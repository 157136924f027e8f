"""Strict reading of the YAML that people write: UTF-8 or a byte order mark, unique keys, errors with file and line.

1e-4 is a number, and a date is a text.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from amix.specs.data_errors import DataError, shown
from amix.specs.file_encoding import decoded, refuse_special

LARGEST = 1 << 20
"""Bytes; what people write is a thousandth of that."""
TIMESTAMP = "tag:yaml.org,2002:timestamp"
MERGE = "tag:yaml.org,2002:merge"
FLOAT = "tag:yaml.org,2002:float"


UNHASHABLE = ("found unhashable key", "a key is a list or a mapping; keys are names")
"""PyYAML's message, and what it means."""


class YamlError(ValueError):
    """YAML cannot be read or repeats a key; the message is one line and names the place."""


class _EveryKeyOnce:
    """Refuses repeated keys, of which YAML readers silently use the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return a mapping as it is written, before others are merged into it."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)  # type: ignore[misc]
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                repeated = f"{shown(key.value)} appears twice, in lines {lines[name]} and {line}: keep one"
                raise yaml.MarkedYAMLError(problem=repeated, problem_mark=key.start_mark)
            lines[name] = line
        return node


class _Values(_EveryKeyOnce, yaml.SafeLoader):
    """Numbers, truth values and texts."""


# YAML 1.1 reads 1e-4 as a text; people who write a learning rate mean the number.
_Values.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Values.add_implicit_resolver(FLOAT, re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789"))


class _Texts(_EveryKeyOnce, yaml.BaseLoader):
    """Every value as a text: labels such as no, yes, 01 would otherwise become truth values and numbers."""


def read_yaml(path: Path, texts_only: bool = False) -> Any:
    """Read a YAML file.

    Args:
        path: The file.
        texts_only: Whether to keep every value as a text.

    Returns:
        Lists, mappings and plain values; None for an empty file.

    Raises:
        YamlError: One line with the file, the line, and what to do.
    """
    try:
        refuse_special(path)
        if path.stat().st_size > LARGEST:
            raise YamlError(f"{path}: has more than {LARGEST >> 20} MiB, which is too long for a description")
        text = decoded(path.read_bytes(), path)
    except OSError as error:
        raise YamlError(f"{path}: cannot be read ({error.strerror or error})") from error
    except DataError as error:
        raise YamlError(str(error)) from error
    return _content(text, str(path), texts_only)


def yaml_value(text: str, texts_only: bool = False) -> Any:
    """Parse a YAML text.

    Args:
        text: The YAML.
        texts_only: Whether to keep every value as a text.

    Raises:
        YamlError: One line with the line and what is wrong there.
    """
    return _content(text, "", texts_only)


def _content(text: str, where: str, texts_only: bool) -> Any:
    """Parse a text; `where` is its file, or "" if it has none."""
    try:
        return yaml.load(text, _Texts if texts_only else _Values)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join((error.problem or error.context or str(error)).split()).replace(*UNHASHABLE)
        raise YamlError(f"{_place(where, mark.line + 1 if mark else None)}is not valid YAML ({reason})") from error
    except yaml.reader.ReaderError as error:
        place = _place(where, text.count("\n", 0, error.position) + 1)
        raise YamlError(f"{place}contains a character that YAML does not allow ({error.reason})") from error
    except RecursionError as error:
        raise YamlError(f"{_place(where)}is nested too deeply") from error
    except ValueError as error:  # E.g. a number with too many digits.
        reason = " ".join(str(error).split())
        raise YamlError(f"{_place(where)}a value is not what it looks like ({reason}); put it in quotes") from error


def _place(where: str, line: int | None = None) -> str:
    names = [where] * bool(where) + [f"line {line}"] * (line is not None)
    return f"{', '.join(names)}: " if names else ""
