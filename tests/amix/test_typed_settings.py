"""Types and ranges of settings, YAML files, and suggestions in error messages."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from amix.specs.recipe import Recipe
from amix.specs.suggestions import nearest
from amix.specs.typed_fields import check_fields
from amix.specs.yaml_files import YamlError, read_yaml, yaml_value
from amix.training.method import Method, MethodError
from amix.training.registry import built_in_methods
from amix.training.settings import full_settings, make_config


@dataclass(frozen=True)
class Typed:
    whole: int = 1
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    maybe: float | None = None
    names: tuple[str, ...] = ()


class WithSettings(Method):
    name, paper, year, kind = "with_settings", "nobody, 2026", 2026, "test"
    Config = Typed


def test_the_defaults_of_every_method_have_the_declared_types() -> None:
    for method in built_in_methods().values():
        defaults = {field.name: field.default for field in dataclasses.fields(method.Config)}
        assert make_config(method, defaults) == method.Config(), method.name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"whole": 1.0}, "with_settings: whole: a whole number is needed, found 1.0"),
        ({"whole": True}, "with_settings: whole: a whole number is needed, found True"),
        ({"share": 1}, "with_settings: share: a number below 1 is needed, found 1.0"),
        ({"share": float("nan")}, "with_settings: share: "),
        ({"share": 10**400}, "with_settings: "),
        ({"maybe": "0.5"}, "with_settings: maybe: a number is needed, found '0.5'"),
        ({"names": [1]}, "with_settings: names: a text is needed"),
        ({"name": "x"}, "with_settings has no setting 'name'; did you mean names"),
    ],
)
def test_a_setting_of_the_wrong_type_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError) as raised:
        make_config(WithSettings, settings)
    assert message in str(raised.value)


def test_equal_settings_give_one_key() -> None:
    found = full_settings(WithSettings, {"share": 0, "names": ["a"]})
    assert found == full_settings(WithSettings, {"share": 0.0, "names": "a"})
    assert isinstance(found["share"], float)
    assert make_config(WithSettings, {"maybe": "inf"}).maybe == float("inf")


def test_a_recipe_keeps_its_numbers_as_given() -> None:
    recipe = Recipe().with_changes({"weight_decay": 0, "betas": [0.9, 0.98]})
    assert type(recipe.as_dict()["weight_decay"]) is int, "a key is made of it"
    assert recipe.betas == (0.9, 0.98)


def test_unresolvable_annotations_are_not_checked() -> None:
    Unknown = dataclasses.make_dataclass("Unknown", [("field", "NowhereDefined")])
    check_fields(Unknown, {"field": object()})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1e-4", {"a": 1e-4}),
        ("a: 5e-3\nb: 1.0E+2", {"a": 5e-3, "b": 100.0}),
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("base: &base {p: 1, q: 2}\nown: {<<: *base, q: 3}", {"base": {"p": 1, "q": 2}, "own": {"p": 1, "q": 3}}),
        ("1: a\n'1': b", {1: "a", "1": "b"}),
    ],
)
def test_yaml_is_read_as_people_mean_it(text: str, value: Any) -> None:
    assert yaml_value(text) == value


@pytest.mark.parametrize("texts_only", [False, True])
@pytest.mark.parametrize(
    ("text", "line"), [("a: 1\nb: 2\na: 3", 3), ("a: {b: 1, b: 1}", 1), ("- x\n- {c: 1,\n   c: 2}", 3)]
)
def test_a_repeated_name_is_an_error_with_its_line(text: str, line: int, texts_only: bool) -> None:
    pattern = rf"^line {line}: is not valid YAML \('.' appears twice, in lines \d and {line}"
    with pytest.raises(YamlError, match=pattern):
        yaml_value(text, texts_only)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(YamlError, match=r"absent.yaml: cannot be read \(No such file"):
        read_yaml(tmp_path / "absent.yaml")


def test_similar_names_are_suggested() -> None:
    assert nearest("mixut", ["mixout", "lora"]) == "did you mean mixout?"
    assert nearest("zzz", ["mixout", "lora"]) == "known: mixout, lora"
    assert nearest("zzz", []) == "there are none"
