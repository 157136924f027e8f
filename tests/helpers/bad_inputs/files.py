"""YAML files that cannot be used: damaged, with keys that stand there twice, and with every field wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from helpers.bad_inputs.case import (
    ALL,
    ENCODER,
    SUITE,
    SWEEP,
    TASK,
    BadInput,
    as_yaml,
    in_turn,
    on_suite,
    suite_with,
    task_with,
)
from helpers.bad_inputs.suites import RECIPE, wrong_values

FOUND = {"found": {"seeds": [42]}}
TUNED: dict[str, Any] = {"encoder": "bert", "methods": {"vanilla": {"training": {"lr": 1e-4}, **FOUND}}}
SLURM: dict[str, Any] = {"kind": "slurm", "jobs": 2, "options": {"cores": 1, "memory": "4GB", "walltime": "01:00:00"}}
Content = str | bytes | Callable[[Path], None]


def file_cases() -> Iterator[BadInput]:
    """Every kind of YAML file with every damage and every wrong field."""
    yield from _damaged()
    yield from _twice()
    yield from _tasks()
    yield from _tuned()
    yield from _clusters()


CLUSTER = on_suite(SWEEP[:1], "--cluster", "cluster.yaml")
READ_BY: dict[str, tuple[tuple[str, ...], str]] = {
    "own.yaml": (on_suite(SWEEP), as_yaml(SUITE)),
    "toy.yaml": (("check", "toy.yaml"), task_with()),
    "tuned.yaml": (on_suite(SWEEP), as_yaml(TUNED)),
    "cluster.yaml": (CLUSTER, as_yaml(SLURM)),
}
"""A command that reads each file, and what it holds where all is well."""
NOT_UTF8 = {
    "own.yaml": "traceback: suite not UTF-8",
    "toy.yaml": "traceback: task not UTF-8",
    "tuned.yaml": "traceback: tuned not UTF-8",
}


def _around(file: str) -> dict[str, str]:
    """The files without which a file would not be read."""
    return {"own.yaml": suite_with(hyperparameters="tuned.yaml")} if file == "tuned.yaml" else {}


def _damaged() -> Iterator[BadInput]:
    for file, (command, good) in READ_BY.items():
        first = good.splitlines()[0]
        damages: tuple[tuple[str, Content, str, str], ...] = (
            ("not UTF-8", good.encode() + b"# f\xfcr alle\n", "UTF-8", NOT_UTF8.get(file, "")),
            ("UTF-16 cut in a letter", good.encode("utf-16")[:-1], "utf-16", ""),
            ("a NUL", good + "\0", "NUL", ""),
            ("a bell", good + "# \x07\n", "character that YAML does not allow", ""),
            ("a tab", good + "\t\tx: 1\n", "is not valid YAML", ""),
            (
                "an open bracket",
                good + "x: [1, 2\n",
                "is not valid YAML",
                "traceback: tuned bad YAML" if file == "tuned.yaml" else "",
            ),
            ("an open quote", good + 'x: "abc\n', "is not valid YAML", ""),
            ("two documents", good + "---\n" + good, "is not valid YAML", ""),
            ("an unknown anchor", good + "x: *gone\n", "is not valid YAML", ""),
            ("a Python object", good + "x: !!python/object/apply:os.system [touch RAN]\n", "", ""),
            ("a list", "- a\n- b\n", "", ""),
            ("a text", "hello\n", "", ""),
            ("a date", "2020-01-01\n", "", ""),
            ("nothing", "", "", ""),
            ("comments alone", "# nothing\n", "", ""),
            ("deep lists", "[" * 5000, "nested too deeply", ""),
            ("a key that is a list", good + "? [a]\n: b\n", "", ""),
            ("a key that is a number", good + "5: b\n", "", ""),
            ("two megabytes", good + "#" * (2 << 20), "MiB", ""),
            ("the first field twice", good + first + "\n", "twice", ""),
            ("an unknown field", good + "zzz: 1\n", "unknown field 'zzz'", ""),
            ("a number of 5000 digits", good + f"x: {'9' * 5000}\n", "", ""),
            (
                "a folder",
                lambda path: path.mkdir(),
                "cannot be read",
                "traceback: tuned is a folder" if file == "tuned.yaml" else "",
            ),
            ("a link to nothing", lambda path: path.symlink_to("gone.yaml"), "", ""),
            ("a link to itself", lambda path: path.symlink_to(path.name), "cannot be read", ""),
            ("a merge key of a text", good + "<<: abc\n", "", ""),
        )
        for name, content, says, line in damages:
            files = {**_around(file), file: content}
            yield BadInput(line, f"file, {file}, {name}", command, (file.removesuffix(".yaml"), says), files)


def _twice() -> Iterator[BadInput]:
    """Keys that stand there twice, of which a YAML reader takes the last."""
    own, task, number = as_yaml(SUITE), task_with(), 0
    for name, content, key, line in (
        ("seeds", own + "seeds: [2]\n", "seeds", "seeds"),
        ("methods", own + "methods: [agwm]\n", "methods", "methods"),
        ("training", own + "training: {epochs: 2}\n", "training", "training"),
        (
            "a label",
            suite_with(methods=None).replace("methods: null", "methods: {vanilla: {}, vanilla: {seeds: 1}}"),
            "vanilla",
            "method label",
        ),
        (
            "a label in blocks",
            suite_with(methods=None).replace("methods: null", "methods:\n  vanilla:\n  mixout:\n  vanilla:\n"),
            "vanilla",
            "",
        ),
        (
            "a setting",
            suite_with(methods=None).replace("methods: null", "methods: {mixout: {p: 0.1, p: 0.9}}"),
            "'p'",
            "",
        ),
        (
            "a training setting",
            suite_with(training=None).replace("training: null", "training: {epochs: 1, epochs: 2}"),
            "epochs",
            "",
        ),
        ("the protocol's level", own + "protocol: {alpha: 0.1, alpha: 0.05}\n", "alpha", ""),
        ("a task's footnote", own + "footnotes: {toy: a, toy: b}\n", "toy", ""),
        ("in quotes once", own + '"seeds": [2]\n', "seeds", ""),
        ("a number", own + "methods2: {1: a, 1: b}\n", "1", ""),
        ("in an anchor", own + "x: &a {b: 1, b: 2}\n", "'b'", ""),
        ("in a list", own + "x: [{b: 1, b: 2}]\n", "'b'", ""),
        *((f"field {field}", own + f"{field}: null\n", field, "") for field in SUITE),
    ):
        number += 1
        covered = f"key twice: {line}" if line else ""
        yield BadInput(
            covered, f"twice, {name}", in_turn(number), ("own.yaml", "line", "twice", key), {"own.yaml": content}
        )
    for name, content, key, line in (
        ("labels", task + "labels: [positive, negative]\n", "labels", "labels of a task"),
        ("text", task + "text: label\n", "text", ""),
        ("train", task + "train: test.csv\n", "train", ""),
        ("test", task + "test: train.csv\n", "test", ""),
        ("name", task + "name: other\n", "name", ""),
        ("as YAML's no", task + "no: 1\nno: 2\n", "no", ""),
    ):
        covered = f"key twice: {line}" if line else ""
        command = ("check", "toy.yaml") if number % 2 else on_suite(SWEEP)
        number += 1
        yield BadInput(
            covered, f"twice, task {name}", command, ("toy.yaml", "line", "twice", key), {"toy.yaml": content}
        )


TASK_FIELDS: dict[str, tuple[Any, ...]] = {
    "name": ("", "../x", "a/b", "mini-cola", "rte", "a\nb", "a" * 100, ".", [], ["a"], {}, {"a": 1}),
    "train": ("", [], ["a"], {}, {"a": 1}, "gone.csv", ".", "/", "train.csv/x", "hub:", "hub:x", "a" * 300),
    "test": ("", [], ["a"], {}, {"a": 1}, "gone.csv", ".", "train.csv/x", "hub:", "hub:x", "a" * 300),
    "text": (
        "",
        [],
        ["text", "text"],
        ["text", "label"],
        ["text", "label", "id"],
        {},
        {"a": 1},
        "label",
        ["label"],
        "txt",
        ["text", ""],
        [["text"]],
    ),
    "title": ([], ["a"], {}, {"a": 1}),
    "label": ("", [], ["label"], {}, "text", "labels", "lable"),
    "labels": (
        ["negative"],
        ["negative", "negative"],
        ["negative", ""],
        ["negative ", "positive"],
        {"a": 1},
        "positive",
        [["negative"], ["positive"]],
        ["positive", "negativ"],
        ["0", "1", "2"],
    ),
    "metrics": (
        "acuracy",
        ["f1", "f1"],
        {"a": 1},
        ["spearman"],
        ["mae"],
        ["evaluate:"],
        "",
        [[]],
        ["rmse", "accuracy"],
    ),
    "validation": ([], ["a"], {}, {"a": 1}, "gone.csv", "train.csv/x"),
    "positive": ("neutral", [], ["positive"], {}, {"a": 1}),
    "encoding": (
        "utf-9",
        "klingon",
        "hex",
        "rot13",
        [],
        ["utf-8"],
        {},
        {"a": 1},
        "utf-16",
        "ascii\0",
        "zlib",
        "undefined",
    ),
}
"""What each field of a task cannot have."""


OF_THE_TABLE = ("txt", "lable", "labels", "['positive', 'negativ']", "['0', '1', '2']")
"""Names that could be right, were they in the table, which is named then."""


def _tasks() -> Iterator[BadInput]:
    lines = {
        ("text", ()): "mistake that fails every run: text empty",
        ("text", "['label']"): "mistake that fails every run: text is the label",
        ("name", "mini-cola"): "data that mean nothing: name of a known task",
    }
    number = 0
    for field, values in TASK_FIELDS.items():
        for value in values:
            number += 1
            line = lines.get((field, str(value) if value else ()), "") if value != "" else ""
            command = ("check", "toy.yaml") if number % 2 else on_suite(SWEEP)
            # A file that is not there is named itself.
            place = "toy.yaml"
            if field in ("train", "test", "validation", "encoding") or str(value) in OF_THE_TABLE:
                place = ""
            yield BadInput(
                line,
                f"task, {field}: {str(value)[:40]!r}",
                command,
                (place,),
                {"toy.yaml": as_yaml(TASK | {field: value})},
            )
    metrics = "traceback: metrics empty"
    yield BadInput(
        metrics,
        "task, metrics with a null",
        ("check", "toy.yaml"),
        ("toy.yaml", "metrics"),
        {"toy.yaml": task_with() + "metrics: [null]\n"},
    )
    for missing in ("name", "train", "test", "text"):
        content = task_with(**{missing: None})
        yield BadInput(
            "",
            f"task without {missing}",
            ("check", "toy.yaml"),
            ("toy.yaml", f"missing {missing}"),
            {"toy.yaml": content},
        )


def _tuned() -> Iterator[BadInput]:
    own = suite_with(hyperparameters="tuned.yaml")
    vanilla = TUNED["methods"]["vanilla"]
    entries: list[tuple[str, str, Any, str]] = [
        ("traceback: tuned without found", "without found", {"training": {}}, "missing found"),
        ("", "without seeds", {"found": {}}, "missing seeds"),
        ("", "seeds of the suite", {"found": {"seeds": [1]}}, "were used to tune"),
        ("", "seeds a number", {"found": {"seeds": 42}}, "seeds"),
        ("", "seeds of text", {"found": {"seeds": ["a"]}}, "seeds"),
        ("", "a number", 5, "name: value"),
        ("", "a list", [], "name: value"),
        ("", "a text", "x", "name: value"),
        ("", "an unknown field", vanilla | {"setings": {}}, "did you mean settings"),
        ("", "settings of another method", vanilla | {"settings": {"rank": 8}}, "has no setting 'rank'"),
        ("", "settings a list", vanilla | {"settings": []}, "settings"),
        ("", "a score of text", {"found": {"seeds": [42], "dev_score": "high"}}, "dev_score"),
        ("", "a budget of text", {"found": {"seeds": [42], "budget": "all"}}, "budget"),
        ("", "an unknown recipe", vanilla | {"training": {"learning_rate": 1}}, "learning_rate"),
    ]
    for setting in ("lr", "epochs", "betas", "clip_norm"):
        for name, value in wrong_values(RECIPE[setting]):
            entries.append(("", f"training: {setting}: {name}", vanilla | {"training": {setting: value}}, setting))
    for number, (line, name, entry, says) in enumerate(entries):
        files = {"own.yaml": own, "tuned.yaml": as_yaml(TUNED | {"methods": {"vanilla": entry}})}
        yield BadInput(line, f"tuned, {name}", in_turn(number), ("tuned" if "rank" not in says else "own", says), files)
    for name, content, says in (
        ("of another method", as_yaml(TUNED | {"methods": {"mixout": vanilla}}), "no tuned settings of 'vanilla'"),
        ("no methods", as_yaml(TUNED | {"methods": {}}), "methods"),
        ("methods a list", as_yaml(TUNED | {"methods": ["vanilla"]}), "methods"),
        ("without methods", as_yaml({"encoder": "enc"}), "missing methods"),
        ("encoder a number", as_yaml(TUNED | {"encoder": 5}), "encoder"),
    ):
        yield BadInput("", f"tuned, {name}", in_turn(0), ("tuned", says), {"own.yaml": own, "tuned.yaml": content})


CLUSTER_FIELDS: dict[str, tuple[Any, ...]] = {
    "kind": (None, 5, "slrum", "", [], {}, "kubernetes"),
    "address": (5, "tls://x:1", None, []),
    "jobs": (None, 0, -1, 1.5, True, "two", [], {}, {"minimum": 3, "maximum": 2}, {"maximum": 0}, {"minimum": 1}),
    "lifetime": (5, "", "3 weeks", "1:2:3:4", [], {}, True),
    "store": (None, "drive", "", 5, []),
    "tls": (
        5,
        [],
        {},
        {"ca_file": "a"},
        {"ca_file": "", "cert": "c", "key": "k"},
        {"ca_file": "gone.pem", "cert": "gone.pem", "key": "gone.pem"},
    ),
    "insecure": ("yes", 1, None),
}
CLUSTER_OPTIONS: dict[str, tuple[Any, ...]] = {
    "cores": (None, 0, "1", 1.5, []),
    "memory": (None, 16, []),
    "walltime": (None, 43200, "soon", []),
    "processes": (0, "1", 1.5),
    "queue": (5, []),
    "interface": (5,),
    "job_extra_directives": ("--gres", 5, [5]),
    "death_timeout": ("60",),
    "scheduler_options": ([], "x"),
    "acount": ("me",),
    "resource_spec": ("x",),
}


def _clusters() -> Iterator[BadInput]:
    for field, values in CLUSTER_FIELDS.items():
        for value in values:
            content = as_yaml(SLURM | {field: value})
            yield BadInput(
                "", f"cluster, {field}: {value!r}", CLUSTER, ("cluster.yaml", field), {"cluster.yaml": content}
            )
    for option, values in CLUSTER_OPTIONS.items():
        for value in values:
            content = as_yaml(SLURM | {"options": SLURM["options"] | {option: value}})
            name = f"cluster, options: {option}: {value!r}"
            says = "lifetime" if value == "soon" else option
            yield BadInput(
                "",
                name,
                ("cluster", "check", "cluster.yaml", "--suite", "own.yaml", "--out", "out"),
                ("cluster.yaml", says),
                {"cluster.yaml": content},
            )
    for name, content, says in (
        ("no jobs", {key: SLURM[key] for key in ("kind", "options")}, "missing jobs"),
        ("no options", {key: SLURM[key] for key in ("kind", "jobs")}, "options"),
        ("jobs of a local one", {"kind": "local", "jobs": 2}, "jobs"),
        ("workers of text", {"kind": "local", "options": {"workers": "two"}}, "workers"),
        ("no workers", {"kind": "local", "options": {"workers": 0}}, "workers"),
        ("no address", {"kind": "address"}, "address"),
        ("an address without a port", {"kind": "address", "address": "tls://host"}, "address"),
        ("another protocol", {"kind": "address", "address": "http://host:1"}, "unknown protocol"),
        ("an open address", {"kind": "address", "address": "tcp://host:1"}, "insecure: true"),
        ("an address with options", {"kind": "address", "address": "tls://h:1", "options": {"cores": 1}}, "cores"),
    ):
        yield BadInput("", f"cluster, {name}", CLUSTER, ("cluster.yaml", says), {"cluster.yaml": as_yaml(content)})
    for given, says in (
        ("gone.yaml", "gone.yaml"),
        ("slurm", "--cluster"),
        ("", ""),
        ("http://host:1", "--cluster"),
        ("tcp://host:1", "--cluster"),
        ("tls://", "--cluster"),
        ("tls://host:port", "--cluster"),
        ("enc", "--cluster"),
    ):
        if given:
            yield BadInput("", f"cluster, given as {given!r}", on_suite(SWEEP[:1], "--cluster", given), (says,))
    yield BadInput("", "cluster and workers", on_suite(SWEEP, "--cluster", "tls://host:1"), ("--workers",))
    unreachable = ("--cluster", "tls://127.0.0.1:1")
    for verb in (SWEEP[:1], ALL[:1]):
        yield BadInput(
            "", f"cluster, {verb[0]} on one without a scheduler", on_suite(verb, *unreachable), ("127.0.0.1:1",)
        )
    compare = ("compare", "train.csv", "-e", ENCODER, "--out", "out", *unreachable)
    yield BadInput("", "cluster, compare on one without a scheduler", compare, ("127.0.0.1:1",))
