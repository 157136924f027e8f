"""Mistakes in a suite file: each is one line with the file, the field and its value, before anything runs."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from runners.cli.app import app
from runners.planning.plan import make_plan
from runners.planning.suite import FOLDER, SuiteError, read_suite, suite_names
from runners.planning.tuned_settings import read

SUITE = {
    "name": "tiny", "title": "Tiny", "encoder": "minilm-l3", "tasks": ["mini-cola"], "sizes": [24], "seeds": [1, 2],
    "methods": ["vanilla"],
}  # fmt: skip
WHOLE, NUMBER, TEXT, PAIRS = (
    "a whole number is needed",
    "a number is needed",
    "a text is needed",
    "expected 'name: value'",
)
RECIPES: list[tuple[Any, str]] = [
    (["lr"], f"training: {PAIRS}"),
    ("lr", f"training: {PAIRS}"),
    ({"steps": "abc"}, f"training: steps: {WHOLE}, found 'abc'"),
    ({"steps": 0}, "training: steps: at least 1"),
    ({"steps": math.inf}, f"training: steps: {WHOLE}, found inf"),
    ({"lr": math.nan}, "training: lr: a finite number is needed, found nan"),
    ({"lr": True}, f"training: lr: {NUMBER}, found True"),
    ({"lr": "fast"}, f"training: lr: {NUMBER}, found 'fast'"),
    ({"lr": -1}, "training: lr: a number above 0 is needed, found -1"),
    ({"epochs": 1.5}, f"training: epochs: {WHOLE}, found 1.5"),
    ({"epochs": math.nan}, f"training: epochs: {WHOLE}, found nan"),
    ({"batch_size": 1.5}, f"training: batch_size: {WHOLE}, found 1.5"),
    ({"batch_size": 0}, "training: batch_size: at least 1"),
    ({"clip_norm": "abc"}, f"training: clip_norm: {NUMBER}, found 'abc'"),
    ({"clip_norm": 0}, "training: clip_norm: a number above 0"),
    ({"weight_decay": None}, f"training: weight_decay: {NUMBER}, found None"),
    ({"weight_decay": -0.1}, "training: weight_decay: at least 0"),
    ({"adam_epsilon": -1}, "training: adam_epsilon: at least 0"),
    ({"max_length": math.inf}, f"training: max_length: {WHOLE}, found inf"),
    ({"betas": []}, "training: betas: has the wrong number of values"),
    ({"betas": 5}, "training: betas: a list is needed, found 5"),
    ({"betas": [0.9, 1]}, "training: betas: a number below 1"),
    ({"warmup_ratio": 1}, "training: warmup_ratio: a number below 1"),
    ({"processes": 1.5}, f"training: processes: {WHOLE}, found 1.5"),
    ({"class_weights": "balancd"}, "training: class_weights: unknown 'balancd'; did you mean balanced?"),
    ({"class_weights": None}, "training: class_weights: unknown None; known: balanced"),
]
METHODS: list[tuple[Any, str]] = [
    ({}, "methods: at least one is needed"),
    ([], "methods: at least one is needed"),
    (None, "methods: labels are texts"),
    ({5: None}, "methods: labels are texts"),
    (["van\x1b[31m"], "methods: labels are texts on one line"),
    ({"vanilla": 5}, f"methods: vanilla: {PAIRS}"),
    ({"vanilla": {"seeds": True}}, f"methods: vanilla: seeds: {WHOLE}, found True"),
    ({"vanilla": {"method": 5}}, f"methods: vanilla: method: {TEXT}"),
    ({"vanilla": {"training": {"lr": "x"}}}, f"methods: vanilla: training: lr: {NUMBER}"),
    ({"vanilla": {"exploratory": "yes"}}, "methods: vanilla: exploratory: true or false is needed, found 'yes'"),
    ({"vanilla": {"exploratory_seeds": [3]}}, "methods: vanilla: exploratory_seeds: 3 is none of the seeds"),
    ({"lora": {"rank": "x"}}, f"lora: rank: {WHOLE}, found 'x'"),
    ({"lora": {"rank": 1.5}}, f"lora: rank: {WHOLE}, found 1.5"),
    ({"mixout": {"p": True}}, f"mixout: p: {NUMBER}, found True"),
    ({"agwm": {"splits": 1.5}}, f"agwm: splits: {WHOLE}, found 1.5"),
    ({"agwm": {"estimator": "centrl"}}, "agwm: estimator: unknown 'centrl'; did you mean central?"),
    ({"all": {"p": 1}}, "methods: all: stands for every method"),
]
PROTOCOLS: list[tuple[Any, str]] = [
    (["alpha"], f"protocol: {PAIRS}"),
    ("alpha", f"protocol: {PAIRS}"),
    ({"focus": 5}, f"protocol: focus: {TEXT}"),
    ({"alpa": 0.1}, "protocol: unknown field 'alpa'; did you mean alpha?"),
    ({"looks": [1, 1]}, "protocol: looks: rising numbers of seeds"),
    ({"looks": [0, 1]}, "protocol: looks: at least 1"),
    ({"looks": [1, 3]}, "protocol: looks: the last one is after 3 seeds, and the suite has 2"),
    ({"endpoints": ["score", "log_los"]}, "protocol: endpoints: unknown 'log_los'; did you mean log_loss?"),
    ({"endpoints": ["score", "score"]}, "protocol: endpoints: 'score' is listed more than once"),
    ({"endpoints": []}, "protocol: endpoints: at least one is needed"),
]
OTHERS: list[tuple[str, Any, str]] = [
    *(
        ("name", name, "becomes part of file names: use 1 to 80")
        for name in ("../x", "/x", "..", ".", "", "a/b", "a\nb", "\x1b[1m", "a" * 300)
    ),
    *(("name", name, f"name: {TEXT}") for name in (None, 5, ["a"], {"a": 1})),
    ("title", ["x"], f"title: {TEXT}"),
    ("note", "\x1b]0;x", "note: a text without control characters"),
    ("encoder", 5, f"encoder: {TEXT}"),
    ("encoder", [], f"encoder: {TEXT}"),
    ("tasks", [], "tasks: at least one"),
    ("tasks", {"a": 1}, f"tasks: {TEXT}"),
    ("sizes", [], "sizes: at least one"),
    ("sizes", [True], f"sizes: {WHOLE}"),
    ("sizes", "all", "sizes: unknown 'all'; did you mean full?"),
    ("sizes", [12, 12], "sizes: 12 is listed more than once"),
    ("seeds", [], "seeds: at least one"),
    ("seeds", [1.0], f"seeds: {WHOLE}"),
    ("seeds", {}, "seeds: missing preset"),
    ("exploratory_seeds", [3], "exploratory_seeds: 3 is none of the seeds; they are 1, 2"),
    ("subset", None, "subset: unknown None; known: uniform, stratified"),
    ("tuning", 5, f"tuning: {PAIRS}"),
    ("tuning", None, "tuning: missing budget"),
    ("tuning", {"budget": 1.5}, f"tuning: budget: {WHOLE}"),
    ("reuse", [], "reuse: at least one"),
    ("footnotes", ["a"], f"footnotes: {PAIRS}"),
    ("footnotes", {"mini-col": "x"}, "footnotes: unknown field 'mini-col'; did you mean mini-cola?"),
    ("out_of_domain", ["snl"], "did you mean snli"),
    ("hyperparameters", "tuend", "hyperparameters: unknown 'tuend'; did you mean tuned?"),
]
FAULTS = [
    *(("training", value, message) for value, message in RECIPES),
    *(("methods", value, message) for value, message in METHODS),
    *(("protocol", value, message) for value, message in PROTOCOLS),
    *OTHERS,
]


@pytest.mark.parametrize(("field", "value", "message"), FAULTS)
def test_a_mistake_is_one_line_that_names_the_place(tmp_path: Path, field: str, value: Any, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(SUITE | {field: value}), encoding="utf-8")
    with pytest.raises(SuiteError) as raised:
        make_plan(read_suite(path))
    assert message in str(raised.value)
    assert "own.yaml" in str(raised.value) or "suite tiny" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: tiny\nseeds: [1]\nseeds: [2]\n", "line 3: is not valid YAML ('seeds' appears twice, in lines 2"),
        (b"methods: {vanilla: {}, vanilla: {seeds: 1}}\n", "line 1: is not valid YAML ('vanilla' appears twice"),
        (b"title: h\xfcbsch\n", "line 1: byte 0xfc is not UTF-8"),
        (b"- a\n- b\n", "a suite file holds fields such as"),
        (b"2020-01-01\n", "a suite file holds fields such as"),
        (b"? [a]\n: b\n", "line 1: is not valid YAML (a key is a list or a mapping; keys are names)"),
        (b"[" * 5000, "is nested too deeply"),
        (b"a: !!python/name:os.system x\n", "line 1: is not valid YAML"),
    ],
)
def test_the_error_for_a_file_that_is_not_a_suite_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(SuiteError) as raised:
        read_suite(path)
    assert message in str(raised.value)
    assert str(raised.value).startswith((f"{path}: ", f"{path}, line "))
    assert "\n" not in str(raised.value)


def test_a_folder_is_not_a_suite(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").mkdir()
    with pytest.raises(SuiteError, match="own.yaml: cannot be read"):
        read_suite(tmp_path / "own.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("5", f"is not a file of tuned settings: {PAIRS}"),
        ("{methods: {}}", "methods: at least one is needed"),
        ("{methods: {lora: {settings: {rank: 8}}}}", "methods: lora: missing found"),
        ("{methods: {lora: {found: {}}}}", "methods: lora: found: missing seeds"),
        ("{methods: {lora: {found: {seeds: [1]}, training: {lr: x}}}}", f"methods: lora: training: lr: {NUMBER}"),
        ("{methods: {lora: {found: {seeds: [1]}, setings: {}}}}", "unknown field 'setings'; did you mean settings"),
        ("{methods: [", "is not valid YAML"),
        ("{encoder: mpnet-base, methods: {lora: {found: {seeds: [1]}}}}", "tuned for mpnet-base, and the suite"),
    ],
)
def test_a_file_of_tuned_settings_that_cannot_be_used_says_why(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "found.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(SuiteError) as raised:
        read(tmp_path / "found.yaml", "minilm-l6")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def schema_of(kind: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["schema", kind], catch_exceptions=False)
    assert result.exit_code == 0
    schema: dict[str, Any] = json.loads(result.stdout)
    return schema


def test_the_schema_knows_every_field_of_the_projects_suites() -> None:
    schema = schema_of("suite")
    assert set(schema["required"]) == {"encoder", "tasks", "seeds", "methods"}
    for name in suite_names():
        content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        assert set(content) <= set(schema["properties"])
        assert set(content["protocol"]) <= set(schema["$defs"]["Protocol"]["properties"])
        assert set(content.get("training", {})) <= set(schema["properties"]["training"]["properties"])


@pytest.mark.parametrize(("kind", "fields"), [("task", {"name", "train", "text"}), ("tuned", {"methods"})])
def test_the_other_files_have_schemas_too(kind: str, fields: set[str]) -> None:
    schema = schema_of(kind)
    assert fields <= set(schema["properties"])
    assert schema["additionalProperties"] is False
