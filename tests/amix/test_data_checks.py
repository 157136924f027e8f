"""Checks of users' data: every kind of finding is reported where it applies, and only there."""

from pathlib import Path

import numpy
import pytest
from typer.testing import CliRunner, Result

from amix.data.data_checks import Finding, cut_finding, refuse_errors, subset_findings
from amix.data.one_file import task_of_file
from amix.data.rows import load_rows
from amix.data.splits import own_findings
from amix.specs.data_errors import DataError
from amix.specs.task import Task
from runners.cli import app, check_commands
from runners.sweeping.preflight import own_warnings

PLAIN = [f"plain sentence number {row},{'yes' if row % 2 else 'no'}" for row in range(60)]
OTHER = [f"other sentence number {row},{'yes' if row % 2 else 'no'}" for row in range(60)]


def task_in(folder: Path, trained: list[str], tested: list[str], labels: tuple[str, ...] | None, **fields: str) -> Task:
    (folder / "train.csv").write_text("\n".join(["text,label", *trained]), encoding="utf-8")
    (folder / "test.csv").write_text("\n".join(["text,label", *tested]), encoding="utf-8")
    metrics = ("spearman",) if labels is None else ("accuracy",)
    chosen: dict[str, object] = {"metrics": metrics} | dict(fields)
    files = {"train": "train.csv", "test": "test.csv"}
    return Task("own", "own", ("text",), labels, origin="files", folder=str(folder), **(files | chosen))  # type: ignore[arg-type]


def found(
    folder: Path,
    train: list[str],
    test: list[str] = OTHER,
    labels: tuple[str, ...] | None = ("no", "yes"),
    **fields: str,
) -> dict[str, Finding]:
    return {one.about: one for one in own_findings(task_in(folder, train, test, labels, **fields))}


def test_sound_data_only_have_their_rows_counted(tmp_path: Path) -> None:
    findings = own_findings(task_in(tmp_path, PLAIN, OTHER, ("no", "yes")))
    assert [(one.severity, one.said) for one in findings] == [
        ("note", "train.csv: 60 rows (no 30, yes 30)"),
        ("note", "test.csv: 60 rows (no 30, yes 30)"),
    ]


def changed(rows: list[str], **places: str) -> list[str]:
    return [places.get(f"row{place}", row) for place, row in enumerate(rows)]


OPPOSED = changed(PLAIN, row4=PLAIN[3].replace("yes", "no"))
TURNED = PLAIN[0].replace(",no", ",yes")
NEARLY = "Plain  sentence: NUMBER 7!,yes"
ONE_CLASS = [row.replace(",yes", ",no") for row in PLAIN]


@pytest.mark.parametrize(
    ("train", "test", "about", "severity", "words"),
    [
        (changed(PLAIN, row5=PLAIN[3]), OTHER, "repeated texts", "note", "1 of 60 rows repeat the text of an earlier"),
        (changed(PLAIN, row5=PLAIN[3]), OTHER, "repeated texts", "note", "(line 5 and line 7)"),
        (PLAIN[:30] * 2, OTHER, "repeated texts", "warning", "30 of 60 rows repeat"),
        (OPPOSED, OTHER, "contradicting labels", "warning", "1 text appears with different labels (line 5 and"),
        (PLAIN, OTHER[:50] + PLAIN[:3], "test in train", "warning", "3 of 53 texts of test.csv are in train.csv too"),
        (PLAIN, [*OTHER[:50], TURNED], "test in train", "warning", "1 of 51 texts of test.csv are in train.csv too, 1"),
        (PLAIN, [*OTHER[:50], NEARLY], "nearly test in train", "warning", "1 of 51 texts of test.csv are in train"),
        (ONE_CLASS, OTHER, "one class", "error", "train.csv: every row has the label 'no'; there is nothing to learn"),
        (PLAIN, ONE_CLASS, "one class", "error", "test.csv: every row has the label 'no'; hidden labels?"),
        (PLAIN, OTHER[:12], "few test rows", "warning", "test.csv has 12 rows: scores on so few are uncertain"),
        (changed(PLAIN, row2="fÃ¼r dich,no"), OTHER, "damaged letters", "warning", "(line 4: 'fÃ¼r dich')"),
        (changed(PLAIN, row2="a \ufffd b,no"), OTHER, "damaged letters", "warning", "1 of 60 rows contain letters"),
        (changed(PLAIN, row2="a \x1b[31mred,no"), OTHER, "control characters", "warning", r"'a \x1b[31mred'"),
    ],
)
def test_findings_about_classes(
    tmp_path: Path, train: list[str], test: list[str], about: str, severity: str, words: str
) -> None:
    finding = found(tmp_path, train, test)[about]
    assert finding.severity == severity
    assert words in finding.said


def test_intact_letters_that_look_damaged_are_accepted(tmp_path: Path) -> None:
    assert "damaged letters" not in found(tmp_path, changed(PLAIN, row2="SÃO PAULO Â là carte,no"))


def test_missing_and_rare_classes_are_named_with_a_remedy(tmp_path: Path) -> None:
    findings = found(tmp_path, PLAIN, labels=("no", "yes", "odd"))
    assert findings["class missing"].said.startswith("test.csv: has no row of 'odd', about which the scores say")
    rare = [row.replace(",yes", ",no") for row in PLAIN[:55]] + PLAIN[55:]
    finding = found(tmp_path, rare)["rare class"]
    assert finding.severity == "warning"
    for words in ("'yes' is rare", "stratified", "class_weights", "macro_f1", "always 'no' is right in 95%"):
        assert words in finding.said
    (tmp_path / "second").mkdir()
    assert found(tmp_path / "second", rare, metrics=("macro_f1",))["rare class"].severity == "note"  # type: ignore[arg-type]


def test_classes_that_may_be_one_or_none_are_named(tmp_path: Path) -> None:
    mixed = [row.replace(",yes", ",Yes") if place % 3 else row for place, row in enumerate(PLAIN)]
    finding = found(tmp_path, mixed, labels=("Yes", "no", "yes"))["classes alike"]
    assert finding.said == "'Yes', 'yes' are different classes; if they are one, write it in one way"
    assert finding.severity == "warning"
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *PLAIN, "total,60"]))
    (single,) = (one for one in own_findings(task_of_file(tmp_path / "rows.csv")) if one.about == "single row")
    assert single.severity == "warning"
    assert "'60' has one row only, which cannot be learnt from and tested on" in single.said
    (tmp_path / "second").mkdir()
    assert "classes alike" not in found(tmp_path / "second", PLAIN)


def test_f1_of_the_frequent_class_is_a_warning_unless_it_is_chosen(tmp_path: Path) -> None:
    many = [row.replace(",no", ",yes") if place % 4 else row for place, row in enumerate(PLAIN)]
    finding = found(tmp_path, many, metrics=("f1",))["positive class"]  # type: ignore[arg-type]
    assert finding.said == (
        "F1 is that of 'yes', the frequent class; 'positive: no' in the task file (--positive no) chooses the other"
    )
    (tmp_path / "second").mkdir()
    assert "positive class" not in found(tmp_path / "second", many, metrics=("f1",), positive="yes")  # type: ignore[arg-type]


def numbers(values: list[float]) -> list[str]:
    return [f"sentence {place} about {value},{value}" for place, value in enumerate(values)]


def test_findings_about_numbers(tmp_path: Path) -> None:
    generator = numpy.random.default_rng(1)
    spread = [round(float(one), 3) for one in generator.normal(3, 1, 60)]
    test = numbers([one + 0.5 for one in spread])

    def about(train: list[float], tested: list[str] = test) -> dict[str, Finding]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return found(folder, numbers(train), tested, None)

    assert set(about(spread)) == {"rows"}
    assert "± " in about([50_000 + 1000 * one for one in spread])["scale of the label"].said
    two = about([float(one > 3) for one in spread])["classes as numbers"]
    assert (two.severity, "write 'labels: [0, 1]'" in two.said) == ("warning", True)
    assert about([float(round(one)) for one in spread])["classes as numbers"].severity == "note"
    assert about([2.0] * 60)["constant label"].severity == "error"
    hidden = about(spread, [f"hidden {row},-1" for row in range(60)])["constant label"]
    assert (hidden.severity, hidden.said) == (
        "error", "test.csv: every label is -1; hidden labels? spearman is not defined there",
    )  # fmt: skip


def test_class_names_that_are_numbers_are_a_note(tmp_path: Path) -> None:
    rows = [f"sentence {place},{place % 7}" for place in range(70)]
    findings = found(tmp_path, rows, [row.replace("sentence", "word") for row in rows], tuple("0123456"))
    assert findings["numbers as classes"].severity == "note"


def test_one_file_for_train_and_test_stops_everything(tmp_path: Path) -> None:
    findings = own_findings(task_in(tmp_path, PLAIN, OTHER, ("no", "yes"), test="train.csv"))
    assert findings[0].severity == "error"
    with pytest.raises(DataError, match=r"task own: train\.csv is the train and the test file"):
        refuse_errors(task_in(tmp_path, PLAIN, OTHER, ("no", "yes")), findings)


def test_a_subset_without_a_class_names_seed_and_class() -> None:
    task = Task("own", "own", ("text",), ("spam", "ham", "eggs"), ("accuracy",), "files")
    (missing,) = subset_findings(task, numpy.array([1, 1, 2]), 1017)
    assert missing.severity == "warning"
    assert missing.said.startswith("seed 1017: the train subset of 3 rows has no example of 'spam'; 'subset: strat")
    (one,) = subset_findings(task, numpy.array([1, 1, 1]), 1017)
    assert "has no example of 'spam', 'eggs' and is all of one class" in one.said
    assert [one.severity for one in subset_findings(task, numpy.array([1]), 1, "dev")] == ["note"]
    assert subset_findings(task, numpy.array([0, 1, 2]), 1) == []
    assert subset_findings(task, numpy.array([]), 1) == []


def test_truncated_texts_are_counted() -> None:
    task = Task("own", "own", ("text",), ("a", "b"), ("accuracy",), "files")
    assert cut_finding(task, numpy.array([5, 8, 8]), 8) == []
    (some,) = cut_finding(task, numpy.array([9] + [8] * 99), 8)
    (many,) = cut_finding(task, numpy.array([9, 100, 3]), 8)
    assert (some.severity, many.severity) == ("note", "warning")
    assert "2 of 3 texts (67%) are longer than 8 tokens and cut there; the longest has 100" in many.said


def test_a_quoted_text_of_several_lines_with_commas_is_one_text(tmp_path: Path) -> None:
    letters = [f'"Dear shop {row},\nthe lamp is bent,\nsincerely.",{"yes" if row % 2 else "no"}' for row in range(50)]
    letters[20] = '"",no'
    task = task_in(tmp_path, letters, OTHER, ("no", "yes"))
    with pytest.raises(DataError, match=r"train\.csv, line 62, column text: '' is an empty text \(1 such row in 50\)"):
        load_rows(task, "train.csv")
    assert task_of_file(tmp_path / "train.csv").labels == ("no", "yes")


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        (["a,10", "b,9", "c,9"], ("9", "10")),
        (["a,true", "b,false", "c,true"], ("false", "true")),
        (["a,1.5", "b,2", "c,2"], None),
        ([f"t{row},{row}" for row in range(30)], None),
        (["a,yes ", "b,no", "c,no"], ("no", "yes")),
    ],
)
def test_a_single_file_determines_whether_labels_are_classes(
    tmp_path: Path, rows: list[str], labels: tuple[str, ...] | None
) -> None:
    path = tmp_path / "my rows.csv"
    path.write_text("\n".join(["message,label", *rows]))
    task = task_of_file(path)
    assert (task.labels, task.text, task.test, task.name) == (labels, ("message",), "", "my-rows")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("a,b,label\nx,y,1\n", {}, "which column is the text? Name it with --text; columns there: 'a', 'b', 'label'"),
        ("a,kind\nx,1\n", {}, "no column 'label'; columns there: 'a', 'kind'; name it with --label"),
        ("a,b,label\nx,y,1\n", {"text": ("a", "b", "label")}, "--text names one column, or two for pairs"),
        ("a,label\n" + "".join(f"x{row},w{row}\n" for row in range(9)), {}, "'label' has 9 different values in 9 rows"),
        ("a;label\nx;3\ny;4,5\nz;1.000,5\n", {}, "'label': '1.000,5' is a number with a decimal comma, or several"),
    ],
)
def test_an_ambiguous_file_is_refused_with_the_missing_option(
    tmp_path: Path, content: str, options: dict[str, tuple[str, ...]], words: str
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(DataError, match=words.replace("?", r"\?")):
        task_of_file(tmp_path / "rows.csv", **options)  # type: ignore[arg-type]


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app.app, ["check", *map(str, arguments)], env={"COLUMNS": "160"})


def test_the_check_command_prints_findings_and_exits_with_1_on_errors(tmp_path: Path) -> None:
    task_in(tmp_path, PLAIN[:55] + PLAIN[:5], OTHER + PLAIN[:2], None)
    one = check(tmp_path / "train.csv")
    assert one.exit_code == 0, one.output
    assert one.output.splitlines()[0].startswith("warning: train.csv: 5 of 60 rows repeat the text")
    assert one.output.splitlines()[-1] == f"{tmp_path / 'train.csv'}: 0 errors, 1 warning, 1 note"
    both = check(tmp_path / "train.csv", "--test", tmp_path / "test.csv", "--text", "text", "--label", "label")
    assert "2 of 62 texts of test.csv are in train.csv too" in both.output
    (tmp_path / "bad.csv").write_bytes("text,label\nschön,yes\nb,no\n".encode("cp1252"))
    bad = check(tmp_path / "bad.csv")
    assert bad.exit_code == 1
    assert bad.output.startswith(f"error: {tmp_path / 'bad.csv'}, line 2: byte 0xf6 is not UTF-8")
    assert check(tmp_path / "bad.csv", "--encoding", "cp1252").exit_code == 0
    task = tmp_path / "task.yaml"
    task.write_text("name: own\ntrain: train.csv\ntest: train.csv\ntext: text\nlabels: [no, yes]\n")
    same = check(task)
    assert (same.exit_code, "is the train and the test file" in same.output) == (1, True)
    assert "a task file names its columns" in check(task, "--label", "x").output
    cut = check(tmp_path / "train.csv", "--encoder", "minilm-l2", "--max-length", "4")
    assert "60 of 60 texts (100%) are longer than 4 tokens" in cut.output


def test_control_characters_of_files_do_not_reach_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,\x1b]0;title\x07\nb,no\nc,no\n")
    assert "\x1b" not in check(tmp_path / "rows.csv").output


def test_warnings_are_shown_before_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rare = [row.replace(",yes", ",no") for row in PLAIN[:58]] + PLAIN[58:]
    task = task_in(tmp_path, rare, OTHER, ("no", "yes"))
    check_commands.show_warnings({"own": own_warnings(task, [1, 2], [12], "uniform", "minilm-l2", 4)})
    message = capsys.readouterr().out
    assert message.startswith("Warnings about the data of task own:\nwarning: ")
    assert "the train subset of 12 rows has no example of 'yes'" in message
    assert "60 of 60 texts (100%) are longer than 4 tokens" in message
    own_warnings(task, [1, 2], [12], "stratified", "minilm-l2", 128)
    same = task_in(tmp_path, PLAIN, OTHER, ("no", "yes"), test="train.csv")
    with pytest.raises(DataError, match="train and the test file"):
        own_warnings(same, [1], [12], "uniform", "minilm-l2", 128)
