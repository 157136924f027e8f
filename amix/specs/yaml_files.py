"""YAML as people write it: 1e-4 is a number, a date is a text, and a name that stands twice is an error."""

import re
from pathlib import Path
from typing import Any

import yaml

TIMESTAMP = "tag:yaml.org,2002:timestamp"
MERGE = "tag:yaml.org,2002:merge"


class YamlError(ValueError):
    """A file that cannot be read as YAML; the message is one line and names the place."""


class _UniqueNames:
    """Refuses a mapping in which a name stands twice, of which YAML readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node, after a look at its names."""
        lines: dict[tuple[str, str], int] = {}
        for name, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(name, yaml.ScalarNode) or name.tag == MERGE:
                continue
            line, key = name.start_mark.line + 1, (name.tag, name.value)
            if key in lines:
                raise YamlError(f"line {line}: '{name.value}' stands there a second time (first in line {lines[key]})")
            lines[key] = line
        found: dict[Any, Any] = super().construct_mapping(node, deep)  # type: ignore[misc]
        return found


class _Values(_UniqueNames, yaml.SafeLoader):
    """Numbers, truth values and texts."""


# YAML 1.1 reads 1e-4 as a text; people who write a learning rate mean the number.
_Values.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Values.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class _Texts(_UniqueNames, yaml.BaseLoader):
    """Every value as it is written: labels such as no, yes, 01 would become truth values and numbers."""


def yaml_value(text: str, texts_only: bool = False) -> Any:
    """A YAML text as Python values.

    Args:
        text: the YAML.
        texts_only: every value stays the text that is written.

    Raises:
        YamlError: it is no YAML, or a name stands twice in one mapping.
    """
    try:
        return yaml.load(text, _Texts if texts_only else _Values)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"is not valid YAML ({line}{error.problem or error.context})") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, YamlError):
            raise
        raise YamlError(f"is not valid YAML ({' '.join(str(error).split())})") from error


def read_yaml(path: Path, texts_only: bool = False) -> Any:
    """The values in a YAML file.

    Raises:
        YamlError: the file cannot be read, is not UTF-8 or no YAML; the message starts with its path.
    """
    try:
        return yaml_value(path.read_text(encoding="utf-8"), texts_only)
    except OSError as error:
        raise YamlError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except YamlError as error:
        raise YamlError(f"{path}: {error}") from error
