"""Commands with options that cannot be, variables of the environment, and places that take no file."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from helpers.bad_inputs.case import ALL, PLAN, RUN, SWEEP, BadInput, on_suite

COMPARE = ("compare", "train.csv", "--max-length", "16", "-e", "enc", "-w", "0", "--out", "out")
CHECK = ("check", "train.csv")
LONG = "a" * 300


def option_cases() -> Iterator[BadInput]:
    """Every option with what it cannot be."""
    yield from _of_plans()
    yield from _of_runs()
    yield from _of_own_data()
    yield from _of_the_rest()
    yield from _environment()
    yield from _places()


def _named(prefix: str, command: tuple[str, ...], given: tuple[Any, ...]) -> Iterator[BadInput]:
    """Cases of a command from triples: line, further options, what is said."""
    for line, options, says in given:
        said = (says,) if isinstance(says, str) else says
        yield BadInput(line, f"{prefix} {' '.join(options)[:90]}", (*command, *options), said)


def _of_plans() -> Iterator[BadInput]:
    for verb in (PLAN, SWEEP, ALL):
        given: list[tuple[str, tuple[str, ...], Any]] = [
            ("traceback: seeds superscript", ("--seeds", "\u00b2"), "seeds"),
            ("traceback: seeds long digits", ("--seeds", "9" * 5000), "seeds"),
            ("", ("--seeds", "1.5"), "seeds"),
            ("", ("--seeds", "-1"), "seeds"),
            ("", ("--seeds", "agwn"), "agwm"),
            ("", ("--seeds", "agwm:99"), "first must be between"),
            ("", ("--seeds", "agwm:x"), "seeds"),
            ("", ("--seeds", "agwm:0"), "first must be between"),
            ("", ("--seeds", "1,,x"), "seeds"),
            ("", ("--seeds", "70001"), "kept for tuning"),
            ("", ("--seeds", "1,1"), "more than once"),
            ("", ("--seeds", ","), "seeds"),
            ("", ("--methods", "vanila"), "did you mean vanilla"),
            ("", ("--methods", "+vanila"), "did you mean vanilla"),
            ("words of Python: plugin without its file", ("--methods", "gone.py:Own"), "gone.py:Own"),
            ("", ("--methods", "toy.yaml"), "toy.yaml"),
            ("", ("--methods", "vanilla,\x1b[31m"), "unknown method"),
            ("", ("--suite", "quik"), "did you mean quick"),
            ("", ("--suite", "gone.yaml"), "gone.yaml"),
            ("", ("--suite", "train.csv"), "unknown suite"),
            ("", ("--suite", ""), "(a suite of your own is a .yaml file)"),
            ("", ("--suite", LONG + ".yaml"), "cannot be read"),
            ("", ("--suite", "../"), "unknown suite"),
            ("", ("--workers", "-1"), "--workers"),
            ("", ("--workers", "two"), "--workers"),
            ("", ("--workers", "1.5"), "--workers"),
            ("", ("--wrkers", "1"), "--workers"),
            ("", ("extra",), "extra"),
        ]
        yield from _named(f"{verb[0]},", on_suite(verb), tuple(given))
    for verb in (SWEEP, ALL):
        yield from _named(
            f"{verb[0]},",
            on_suite(verb),
            (
                ("", ("--glue", "gone", "--methods", "vanila"), "vanilla"),
                ("", ("--retry-faild",), "--retry-failed"),
                ("", ("--dry-run", "yes"), "yes"),
                ("", ("--cluster", "gone.yaml"), "--workers"),
            ),
        )
    yield from _named(
        "tune,",
        ("tune", "-w", "0"),
        (
            ("", ("--suite", "own.yaml", "--out", "out"), "does not tune"),
            ("", ("--suite", "quik"), "quick"),
            ("", ("--suite", "quick", "--out", "out"), "does not tune"),
            ("", ("--seeds", "1"), "--seeds"),
        ),
    )


def _of_runs() -> Iterator[BadInput]:
    for verb, command in (("run", RUN), ("export", ("export", "model", *RUN[1:]))):
        given: list[tuple[str, tuple[str, ...], Any]] = [
            ("traceback: set bad YAML", ("-m", "mixout", "--set", "p=[1"), ("p=[1", "not valid YAML")),
            ("traceback: training bad YAML", ("--training", "lr={"), ("lr={", "not valid YAML")),
            ("", ("--set", "p"), "name=value"),
            ("", ("--set", "=1"), "no setting"),
            ("", ("--set", ""), "name=value"),
            ("", ("-m", "mixout", "--set", "q=1"), "no setting 'q'"),
            ("", ("-m", "mixout", "--set", "p=x"), "p"),
            ("", ("-m", "childtuning_f", "--set", "p=1e-5"), "p from 2**-16 to 1, not 1e-05"),
            ("", ("-m", "mixout", "--set", "p=1.5"), "p"),
            ("", ("-m", "mixout", "--set", "p=-0.1"), "p"),
            ("", ("-m", "mixout", "--set", "p=.nan"), "p"),
            ("", ("-m", "mixout", "--set", "p=true"), "p"),
            ("", ("-m", "lora", "--set", "rank=-1"), "rank"),
            ("", ("-m", "lora", "--set", "rank=0"), "rank"),
            ("", ("-m", "lora", "--set", "rank=1.5"), "rank"),
            ("", ("-m", "agwm", "--set", "splits=1.5"), "splits"),
            ("", ("--training", "lr"), "name=value"),
            ("", ("--training", "lr=fast"), ("lr", "'fast'")),
            ("", ("--training", "lr=.nan"), "lr"),
            ("", ("--training", "epochs=1.5"), "epochs"),
            ("", ("--training", "steps=0"), "steps"),
            ("", ("--training", "learning_rate=1"), "learning_rate"),
            ("", ("--training", "betas=[]"), "betas"),
            ("", ("--training", "batch_size=true"), "batch_size"),
            ("", ("--training", "max_length=1024"), "at most 40 tokens"),
            ("", ("--training", "lr=1\nlr=2"), "lr"),
            ("", ("-t", "mini-col"), "mini-cola"),
            ("", ("-t", "gone.yaml"), "gone.yaml"),
            ("", ("-t", "train.csv"), "train.csv"),
            ("", ("-t", ""), ("unknown task", " (a task of your own is a .yaml file: see runners/README.md)")),
            ("", ("-m", "vanila"), "vanilla"),
            ("", ("-m", ""), "method"),
            ("", ("-m", "gone.py:Own"), "gone.py"),
            ("", ("-m", "toy.yaml:Own"), "toy.yaml"),
            ("", ("--seed", "x"), "--seed"),
            ("", ("--seed", "1.5"), "--seed"),
            ("", ("-n", "0"), "--size"),
            ("", ("-n", "x"), "--size"),
            ("", ("-n", "100000"), "N=100000"),
            ("", ("-e", "gone/model/x"), "gone/model/x"),
            ("", ("-e", "toy.yaml"), "toy.yaml"),
            ("", ("-e", "."), "config.json"),
            ("", ("-e", ""), "encoder"),
            ("", ("-s", "quik"), "quick"),
            ("", ("-s", "own.yaml", "-t", "other"), "toy"),
            ("", ("-w", "-1"), "--workers"),
            ("", ("--glue", "gone", "-t", "rte"), "--glue"),
        ]
        if verb == "run":
            given.append(("", ("--selection", "first"), "selection"))
        yield from _named(f"{verb},", command, tuple(given))
    for missing in ("-t", "-m", "--seed"):
        place = RUN.index(missing)
        yield BadInput("", f"run, without {missing}", (*RUN[:place], *RUN[place + 2 :]), ("Missing option",))
    yield BadInput("", "export, without a folder", ("export", *RUN[1:]), ("Missing argument",))
    yield BadInput("", "export, into a file", ("export", "toy.yaml", *RUN[1:]), ("toy.yaml",))


def _of_own_data() -> Iterator[BadInput]:
    given: list[tuple[str, tuple[str, ...], Any]] = [
        ("", ("--label", "lable"), ("'lable'", "did you mean")),
        ("", ("--text", "txt"), ("'txt'", "did you mean")),
        ("", ("--text", "label"), "--text"),
        ("", ("--text", "text", "--text", "text"), "--text"),
        ("", ("--text", "text", "--text", "label", "--text", "x"), "x"),
        ("", ("--encoding", "utf-9"), "is not an encoding"),
        ("", ("--encoding", "hex"), "is not an encoding"),
        ("", ("--encoding", "utf-16"), "train.csv"),
        ("", ("--test", "gone.csv"), "gone.csv"),
        ("", ("--test", "train.csv"), "train.csv"),
        ("", ("--test", "."), "folder"),
        ("", ("--max-length", "2"), "--max-length"),
        ("", ("--max-length", "x"), "--max-length"),
        ("", ("-e", "gone/model/x"), "gone/model/x"),
        ("", ("-e", "."), "config.json"),
        ("", ("more",), "more"),
    ]
    yield from _named("check,", CHECK, tuple(given))
    more: list[tuple[str, tuple[str, ...], Any]] = [
        ("", ("--metric", "acuracy"), "did you mean accuracy"),
        ("", ("--metric", "spearman"), "--metric"),
        ("", ("--metric", "mae"), "--metric"),
        ("", ("--positive", "neutral"), ("--positive", "'neutral'")),
        ("", ("--folds", "1"), "--folds"),
        ("", ("--folds", "49"), "--folds"),
        ("", ("--folds", "x"), "--folds"),
        ("", ("--repeats", "0"), "--repeats"),
        ("", ("--repeats", "21"), "--repeats"),
        ("", ("--minutes", "0"), "--minutes"),
        ("", ("--minutes", "soon"), "--minutes"),
        ("", ("--minutes", "nan"), "--minutes"),
        ("", ("--methods", "vanila"), "vanilla"),
        ("", ("--methods", "+vanila"), "vanilla"),
        ("", ("--row", "vanila"), "--row"),
        ("", ("--row", "agwm"), "--row"),
        ("", ("--numbers",), "is not a number"),
        ("", ("-w", "-1"), "--workers"),
        ("", ("--max-length", "1024"), "at most 40 tokens"),
        ("", ("--data", "train.csv"), "--data"),
    ]
    yield from _named("compare,", COMPARE, (*given[:-1], *more))
    for name, command, says in (
        ("no file", ("compare",), "--data"),
        ("a file that is not there", ("compare", "gone.csv", "--out", "out"), "gone.csv"),
        ("a task", ("compare", "toy.yaml", "--out", "out"), "toy.yaml"),
        ("a folder", ("compare", ".", "--out", "out"), "folder"),
        ("out a file", (*COMPARE, "--out", "toy.yaml"), "toy.yaml"),
        ("hub without a split", ("compare", "hub:x"), "hub:"),
        ("checked: hub without a split", ("check", "hub:x"), "hub:"),
        ("checked: hub alone", ("check", "hub:"), "hub:"),
        ("checked: gone", ("check", "gone.csv"), "gone.csv"),
        ("checked: empty", ("check", ""), ""),
        ("checked: a task that is gone", ("check", "gone.yaml"), "gone.yaml"),
        ("checked: a suite", ("check", "own.yaml"), "own.yaml"),
        ("checked: too long", ("check", LONG + ".csv"), "csv"),
        ("checked: a task with --label", ("check", "toy.yaml", "--label", "label"), "--label"),
        ("checked: a NUL in the name", ("check", "a\0b.csv"), "cannot be read"),
        ("predict: no model", ("predict", "gone", "train.csv", "--out", "p.csv"), "gone"),
        ("predict: an encoder", ("predict", "enc", "train.csv", "--out", "p.csv"), "enc"),
        ("predict: a file as model", ("predict", "toy.yaml", "train.csv", "--out", "p.csv"), "toy.yaml"),
        ("predict: nothing", ("predict",), "Missing argument"),
    ):
        yield BadInput("", f"own data, {name}", command, (says,))


def _of_the_rest() -> Iterator[BadInput]:
    for name, command, says in (
        ("an unknown command", ("swep",), "sweep"),
        ("an unknown option", ("--fast",), "--fast"),
        ("encoders get nothing", ("encoders", "get"), "Missing argument"),
        ("encoders get an unknown one", ("encoders", "get", "mpnet-bas"), "mpnet-base"),
        ("encoders get from elsewhere", ("encoders", "get", "mpnet-base", "--from", "web"), "web"),
        ("an unknown command of encoders", ("encoders", "gett"), "get"),
        ("an unknown schema", ("schema", "suit"), "suit"),
        ("an unknown command of bench", ("bench", "lop"), "loop"),
        ("methods of no size", ("methods", "-n", "0"), "--size"),
        ("methods of a plugin that is gone", ("methods", "--methods", "gone.py:Own", "-e", "enc"), "gone.py"),
        ("methods of an encoder that is gone", ("methods", "-e", "gone/model/x"), "gone/model/x"),
        ("collect an unknown suite", ("collect", "-s", "quik", "--out", "out"), "quik"),
        ("collect a suite that is gone", ("collect", "-s", "gone.yaml", "--out", "out"), "gone.yaml"),
        ("collect what has not run", ("collect", "-s", "own.yaml", "--out", "out"), "own"),
        ("collect by an unknown rule", ("collect", "-s", "own.yaml", "--out", "out", "--selection", "bogus"), ""),
        ("figures of what has not run", ("figures", "-s", "own.yaml", "--out", "out"), "own"),
        ("figures of an unknown run", ("figures", "-s", "own.yaml", "--out", "out", "--run", "x"), ""),
        ("a page of what has not run", ("report", "-s", "own.yaml", "--out", "out"), "own"),
        ("an archive of what has not run", ("archive", "-s", "own.yaml", "--out", "out"), "own"),
        ("collect a suite outside", ("collect", "-s", "../x", "--out", "out"), ""),
        ("collect with a NUL", ("collect", "-s", "a\0b", "--out", "out"), ""),
        ("collect a long name", ("collect", "-s", LONG, "--out", "out"), ""),
        ("bench an unknown task", ("bench", "hypergradient", "-t", "mini-col", "-e", "enc"), "mini-cola"),
        ("bench no draws", ("bench", "hypergradient", "--draws", "0"), "--draws"),
        ("bench an encoder that is gone", ("bench", "loop", "-e", "gone/model/x"), "gone/model/x"),
        ("bench unknown methods", ("bench", "methods", "--methods", "vanila"), "vanilla"),
        ("cluster check nothing", ("cluster", "check"), "Missing argument"),
    ):
        yield BadInput("", f"command, {name}", command, (says,))


def _environment() -> Iterator[BadInput]:
    lines = {
        ("WORLD_SIZE", "0"): "mistake that fails every run: no processes",
        ("WORLD_SIZE", ""): "traceback: processes empty",
        ("WORLD_SIZE", "two"): "traceback: processes text",
        ("RANK", "first"): "traceback: rank text",
    }
    for name, values in (
        ("WORLD_SIZE", ("0", "", "two", "-1", "1.5", " ")),
        ("RANK", ("first", "-1", "", "7")),
    ):
        for value in values:
            env = {"WORLD_SIZE": "2"} if name != "WORLD_SIZE" else {}
            for verb, command in (("run", RUN), ("sweep", on_suite(SWEEP))):
                if verb == "sweep" and name != "WORLD_SIZE":
                    continue
                yield BadInput(
                    lines.get((name, value), ""),
                    f"environment, {verb}, {name}={value!r}",
                    command,
                    (name,),
                    {},
                    env | {name: value},
                )
    for value, line, says in (
        ("toy.yaml", "words of Python: GLUE a file", "AMIX_GLUE"),
        ("gone", "", "AMIX_GLUE"),
        (".", "", "rte"),
    ):
        command = ("run", "-t", "rte", *RUN[3:])
        yield BadInput(line, f"environment, AMIX_GLUE={value}", command, (says,), {}, {"AMIX_GLUE": value})


def _places() -> Iterator[BadInput]:
    """Where nothing can be written."""
    for name, out, line in (
        ("a file", "toy.yaml", "traceback: out a file"),
        ("below a file", "toy.yaml/x", ""),
        ("too long", LONG, "traceback: out too long"),
        ("a NUL", "a\0b", ""),
        ("a link to itself", "loop", ""),
        ("a link to nothing in a file", "toy.yaml/../x", ""),
        ("read-only", "locked/out" if os.getuid() else "/proc/out", "traceback: out read-only"),
    ):
        files = {"loop": lambda path: path.symlink_to(path.name), "locked": _locked}
        for verb, command in (("sweep", on_suite(SWEEP)), ("run", RUN), ("compare", COMPARE)):
            yield BadInput(line, f"out, {verb}, {name}", (*command, "--out", out), ("",), files)


def _locked(path: Path) -> None:
    path.mkdir(mode=0o500)
