"""What people write in YAML, read strictly: UTF-8 or its mark, every key once, errors that name file and line."""

import re
from pathlib import Path
from typing import Any

import yaml

from amix.specs.data_errors import shown
from amix.specs.file_encoding import decoded, refuse_special

LARGEST = 1 << 20
"""Bytes; a description that someone wrote is a thousandth of that."""


class YamlError(ValueError):
    """A YAML file that cannot be read or says something twice."""


def read_yaml(path: Path, loader: type[yaml.BaseLoader] | type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """The content of a YAML file.

    Args:
        path: the file.
        loader: what plain values become: texts as they are with BaseLoader, numbers and the like with SafeLoader.

    Returns:
        Lists, mappings and plain values; None for an empty file.

    Raises:
        YamlError: one line with the file, the line, and what to do.
        DataError: the same, for a file that is none or not UTF-8.
    """
    refuse_special(path)
    try:
        if path.stat().st_size > LARGEST:
            raise YamlError(f"{path}: has more than {LARGEST >> 20} MiB, which is no description")
        text = decoded(path.read_bytes(), path)
    except OSError as error:
        raise YamlError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return yaml.load(text, _strict(loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        said = error.problem or error.context or str(error)
        raise YamlError(f"{path}{place}: is not valid YAML ({said})") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(f"{path}, line {line}: holds a character that YAML does not allow ({error.reason})") from error
    except RecursionError as error:
        raise YamlError(f"{path}: is nested too deeply") from error
    except ValueError as error:  # Such as a date that is none.
        raise YamlError(f"{path}: a value is not what it looks like ({error}); put it in quotes") from error


def _strict(loader: type[Any]) -> type[Any]:
    """The loader, which also refuses a key that stands twice in a mapping."""

    def construct_mapping(self: Any, node: yaml.MappingNode, deep: bool = False) -> Any:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = (key.value, key.start_mark.line + 1) if isinstance(key, yaml.ScalarNode) else ("<<", 0)
            if name != "<<" and name in lines:  # YAML's own sign for a mapping that is put in here.
                said = f"{shown(name)} stands there twice, in lines {lines[name]} and {line}: keep one"
                raise yaml.MarkedYAMLError(problem=said, problem_mark=key.start_mark)
            lines[name] = line
        return loader.construct_mapping(self, node, deep)

    return type("Strict", (loader,), {"construct_mapping": construct_mapping})


SAFE_NAME = re.compile(r"[^\W_][\w.+ -]{0,79}")
"""Letters of any script, digits and . _ + - and blanks; becomes part of file names."""


def is_safe_name(name: str) -> bool:
    """Whether a name can become part of a file's name on every system."""
    return SAFE_NAME.fullmatch(name) is not None and name == name.strip() and ".." not in name and name[-1] != "."
