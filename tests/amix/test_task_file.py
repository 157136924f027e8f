"""Task files that people write: every field is checked, with the file, the field and what to do."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from amix.data.task_source import task_source
from amix.specs.task import Task, TaskError
from amix.specs.tasks import find_task
from amix.specs.yaml_files import YamlError, read_yaml

PLAIN = {"name": "own", "train": "a.csv", "test": "b.csv", "text": "message", "labels": "[ham, spam]"}


def described(folder: Path, **changes: str | None) -> Task:
    """The task of a file with these fields, as written; None omits one."""
    lines = [f"{name}: {value}\n" for name, value in (PLAIN | changes).items() if value is not None]
    (folder / "own.yaml").write_text("".join(lines), encoding="utf-8")
    return find_task(str(folder / "own.yaml"))


def refused(folder: Path, content: str | bytes) -> str:
    (folder / "own.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(TaskError) as caught:
        find_task(str(folder / "own.yaml"))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{folder}/own.yaml")
    return str(caught.value).removeprefix(f"{folder}/")


def test_every_field_reaches_the_task(tmp_path: Path) -> None:
    task = described(
        tmp_path, validation="dev.csv", positive="ham", encoding="cp1252", label="kind", title="Mein Töpfchen",
        metrics="[f1, macro_f1, weighted_f1, balanced_accuracy, roc_auc, average_precision]",
    )  # fmt: skip
    assert (task.validation, task.positive, task.encoding, task.label) == ("dev.csv", "ham", "cp1252", "kind")
    assert (task.title, task.positive_class, task.text) == ("Mein Töpfchen", 0, ("message",))
    assert described(tmp_path).positive_class == 1
    numbers = described(tmp_path, labels=None, metrics="[spearman, mae, rmse]")
    assert (numbers.labels, numbers.metrics) == (None, ("spearman", "mae", "rmse"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "[a, b, c]"}, "text names one column, or two for pairs: 'a', 'b', 'c'"),
        ({"text": "[]"}, "text names one column, or two for pairs: none"),
        ({"text": "[a, a]"}, "text: 'a' is listed more than once"),
        ({"text": "{a: b}"}, "text: a text is needed (a number, yes or no needs quotes), found {'a': 'b'}"),
        ({"text": "[label]"}, "the column 'label' cannot be text and label at once"),
        ({"labels": "[no, no]"}, "labels: 'no' is listed more than once"),
        ({"labels": "[spam]"}, "labels names two classes or more, not only 'spam'"),
        ({"labels": "[spam, '']"}, "labels: a name is empty"),
        ({"metrics": "[]"}, None),
        (
            {"metrics": "[f1]", "labels": "[a, b, c]"},
            "metrics: f1 is not defined for 3 labels; use accuracy, matthews, macro_f1",
        ),
        ({"metrics": "[mae]"}, "metrics: mae is not defined for 2 labels"),
        (
            {"metrics": "[accuracy]", "labels": None},
            "metrics: accuracy is not defined for regression; use spear",
        ),
        ({"metrics": "[mae, spearman]", "labels": None}, "metrics: the first one must be better when higher"),
        ({"metrics": "[accuracy, accuracy]"}, "metrics: 'accuracy' is listed more than once"),
        ({"positive": "eggs"}, "positive: 'eggs' is none of the labels 'ham', 'spam'"),
        ({"positive": "ham", "labels": None}, "positive: 'ham' is none of the labels"),
        ({"name": "a/../../b"}, "name: 'a/../../b' becomes part of file names"),
        ({"name": "''"}, "name: '' becomes part of file names"),
        ({"name": "[t]"}, "name: a text is needed (a number, yes or no needs quotes), found ['t']"),
        ({"name": "rte"}, "name: 'rte' is a task of this project; choose another name"),
        ({"name": '"a\\x1b]0;b"'}, r"name: 'a\x1b]0;b' becomes part of file names"),
        ({"train": ""}, "train: is empty"),
        ({"train": "{a: b}"}, "train: a text is needed (a number, yes or no needs quotes), found {'a': 'b'}"),
        ({"train": "2020-01-01"}, None),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, changes: dict[str, str | None], words: str | None) -> None:
    if words is None:
        described(tmp_path, **changes)
        return
    with pytest.raises(TaskError) as caught:
        described(tmp_path, **changes)
    assert f"own.yaml: {words}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: own\ntrain: a\nlabels: [no, yes]\nlabels: [yes, no]\n", "line 4: is not valid YAML ('labels' appears"),
        ("name: own\n# schön\nlabels: [schön]\n".encode("cp1252"), "line 2: byte 0xf6 is not UTF-8 (looks like cp1252"),
        ("name: [\n", "line 2: is not valid YAML"),
        ("name: own\ntrain: \x07\n", "line 2: contains a character that YAML does not allow"),
        ("[" * 100_000, "is nested too deeply"),
        ("a: 1\n" * 300_000, "has more than 1 MiB"),
        ("", "a task file needs fields"),
        ("- 1\n", "a task file needs fields"),
        ("!!python/object/apply:os.system [ls]\n", "own.yaml"),
        ("[a, b]: 1\n", "own.yaml"),
    ],
)
def test_ambiguous_yaml_is_refused(tmp_path: Path, content: str | bytes, words: str) -> None:
    assert words in refused(tmp_path, content)


def test_yaml_with_a_byte_order_mark_is_read_and_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes("name: schön\n".encode("utf-16"))
    assert read_yaml(tmp_path / "own.yaml") == {"name": "schön"}
    for content in ("many: 0b_\n", "a: {b: 1, b: 2}\n"):
        (tmp_path / "own.yaml").write_text(content)
        with pytest.raises(YamlError, match="own.yaml"):
            read_yaml(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text("base: &x {a: 1}\nmore: {<<: *x, <<: *x, a: 2}\n")
    assert read_yaml(tmp_path / "own.yaml")["more"] == {"a": 2}
    for name in (str(tmp_path / "absent.yaml"), "/dev/zero.yaml"):
        with pytest.raises(TaskError, match="cannot be read"):
            find_task(name)


def save_data(folder: Path) -> None:
    for name in ("a.csv", "b.csv", "dev.csv"):
        (folder / name).write_text(f"message,label\n{name},ham\n")


def test_the_source_hash_of_a_user_s_task_is_stable_and_changes_with_the_data(tmp_path: Path) -> None:
    save_data(tmp_path)
    task = described(tmp_path)
    plain = task_source(task)
    words = (
        "Task(name='own', title='own', text=('message',), labels=('ham', 'spam'), metrics=('accuracy',), "
        "origin='files', folder='', train='a.csv', test='b.csv', label='label')"
    )
    data = (tmp_path / "a.csv").read_bytes() + (tmp_path / "b.csv").read_bytes()
    assert plain == hashlib.sha256(words.encode() + data).hexdigest()
    found = {plain}
    for changed in (replace(task, positive="ham"), replace(task, validation="dev.csv"), replace(task, labels=None)):
        found.add(task_source(changed))
    (tmp_path / "b.csv").write_text("message,label\nother,ham\n")
    found.add(task_source(task))
    assert len(found) == 5
    with pytest.raises(TaskError, match="absent.csv does not exist"):
        task_source(replace(task, train="absent.csv"))


def test_a_saved_data_set_is_hashed_file_by_file(tmp_path: Path) -> None:
    save_data(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "part").write_text("1")
    task = replace(described(tmp_path), train="set")
    before = task_source(task)
    (tmp_path / "set" / "part").write_text("2")
    assert task_source(task) != before
