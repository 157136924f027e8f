"""What a terminal gets: no control characters of input files, no table wider than it, no end too long, counts."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from amix.specs.visible_text import visible
from amix.specs.wording import counted, one_line
from results.loading.frame import load
from results.loading.layout import Layout
from results.loading.record_checks import Problem
from results.tabulating.collect import Collected, completed
from results.tabulating.main import main_table
from results.tabulating.render import csv_text, html_table, latex, markdown, terminal
from results.tabulating.render.terminal import brief
from results.tabulating.table import BEST, Cell, Column, Table
from results.tabulating.tuning import tuning_table
from runners.cli import options, results_commands
from runners.cli.safe_console import SafeConsole

WIDE = Table(
    name="main-n100",
    title="Methods",
    caption="Long caption. " * 20,
    columns=(Column("Method"), Column("First task"), Column("Second task"), Column("Average"), Column("Time")),
    rows=((Cell("a_method_with_a_long_name"), *(Cell(float(i), spread=1.0, notes=("a note",)) for i in range(4))),),
)
EVIL = "a\x1b]0;title\x07b\x9b31mc\u202ed\ud800e\x00f"


def steering(text: str) -> list[str]:
    return [
        character for character in text if character in "\x1b\x07\x9b\x00\u202e" or "\ud800" <= character <= "\udfff"
    ]


def test_control_characters_are_escaped_and_others_stay() -> None:
    assert visible(EVIL) == "a\\x1b]0;title\\x07b\\x9b31mc\\u202ed\\ud800e\\x00f"
    assert visible("Überschrift\tname\nÅ ± 日本") == "Überschrift\tname\nÅ ± 日本"
    assert visible(visible(EVIL)) == visible(EVIL)


def table() -> Table:
    return Table(
        name="t",
        title=EVIL,
        caption=EVIL,
        columns=(Column(EVIL, EVIL, text=True), Column("n")),
        rows=((Cell(EVIL), Cell(1.0)),),
        notes=(EVIL,),
        banner=EVIL,
    )


@pytest.mark.parametrize("render", [csv_text, html_table, latex, markdown])
def test_no_rendering_of_a_table_contains_control_characters(render: object) -> None:
    text = render(table())  # type: ignore[operator]
    assert "title" in text
    assert steering(text) == []
    text.encode()


@pytest.mark.parametrize("shown", [EVIL, Text(EVIL), str(Problem(EVIL, EVIL)), "table"])
def test_the_terminal_gets_no_control_characters_but_its_own_colours(shown: object) -> None:
    file = io.StringIO()
    console = SafeConsole(file=file, force_terminal=False, width=200, markup=False)
    console.print(terminal(table()) if shown == "table" else shown)
    assert "title" in file.getvalue()
    assert steering(file.getvalue()) == []
    coloured = io.StringIO()
    SafeConsole(file=coloured, force_terminal=True, color_system="standard").print(Text("red", "red"))
    assert "\x1b[31m" in coloured.getvalue(), "styles still work"


def lines(width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(brief(WIDE, console, 40))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 70, 80, 100, 160])
def test_no_table_is_wider_than_the_terminal_and_no_name_is_wrapped(width: int) -> None:
    shown = lines(width)
    assert max(map(len, shown)) <= width
    assert any("a_method_with_a_long_name" in line for line in shown)
    assert any("Average" in line for line in shown)


def test_spreads_are_dropped_before_columns_and_columns_from_the_right() -> None:
    texts = {width: " ".join(" ".join(lines(width)).split()) for width in range(60, 161)}
    widths = {width: text.partition("Not shown")[0] for width, text in texts.items()}
    with_spread = {width for width, text in widths.items() if "±" in text}
    with_time = {width for width, text in widths.items() if "Time" in text}
    with_second = {width for width, text in widths.items() if "Second task" in text}
    assert {160} <= with_spread < with_time < with_second


def test_one_thing_is_in_the_singular_however_it_is_written() -> None:
    assert [counted(number, "run") for number in (0, 1, 2, 21, "1", "1,000", "3-6")] == [
        "0 runs",
        "1 run",
        "2 runs",
        "21 runs",
        "1 run",
        "1,000 runs",
        "3-6 runs",
    ]


def test_a_foreign_message_becomes_one_line() -> None:
    assert one_line("a\n b\x1b[31m") == "a b[31m"
    assert len(one_line("word " * 500)) < 420


@pytest.mark.parametrize("width", [60, 70, 80, 100, 160])
def test_what_is_not_shown_for_lack_of_width_is_named(width: int) -> None:
    shown, _, missing = " ".join(" ".join(lines(width)).split()).partition("Not shown for lack of width: ")
    for name in ("±", "First task", "Second task", "Time"):
        assert (name in shown) != (name in missing), f"{shown} | {missing}"


LONG = Table(
    name="main-n100",
    title="Methods",
    caption="",
    columns=(Column("Method"), Column("Average")),
    rows=(
        (Cell("reference"), Cell(1.0)),
        *((Cell(f"few runs {i}"), Cell(90.0 + i, count=2)) for i in range(20)),
        *((Cell(f"row {i}"), Cell(float(i), rank=BEST if i == 19 else 0)) for i in range(20)),
        (Cell("focus"), Cell(0.0)),
    ),
    rules=frozenset({0}),
)


@pytest.mark.parametrize("lines", [12, 20, 30])
def test_a_long_table_keeps_reference_focus_and_the_best_rows_in_order_and_counts_the_others(lines: int) -> None:
    console = Console(width=80, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(brief(LONG, console, lines, ("reference", "focus", None)))
    text = captured.get()
    shown = [line.split("  ")[1].strip() for line in text.splitlines() if line.startswith("  ") and line.strip()]
    rows = [name for name in shown if name != "Method"]
    best = [f"row {i}" for i in range(20)][-(len(rows) - 2) :]
    assert rows == ["reference", *best, "focus"], "rows with fewer runs cannot be compared with the others"
    assert f"and {len(LONG.rows) - len(rows)} more rows on the page." in " ".join(text.split())
    assert len(text.splitlines()) <= lines


SUITES = sorted(path.stem for path in Layout().records.glob("*.parquet"))


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_ends_with_answer_table_and_places_in_forty_lines(suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    console = SafeConsole(file=io.StringIO(), width=80, force_terminal=True, color_system=None, markup=False)
    monkeypatch.setattr(options, "console", console)
    monkeypatch.setattr(results_commands, "console", console)
    results = load(suite, Layout())
    main = tuning_table if results.plan.tuning_budget is not None else main_table
    table = completed(main(results, results.plan.sizes[-1]), results)
    many = tuple(Problem(f"record {i}", "cannot be read") for i in range(9))
    for problems in ((), many):
        results_commands.show_end(results, Collected(suite, (table,), problems, ()), ("tables: here", "page:   there"))
        text = console.file.getvalue()  # type: ignore[attr-defined]
        console.file = io.StringIO()
        lines = text.splitlines()
        assert len(lines) <= 40, text
        assert max(map(len, lines)) <= 80, text
        assert lines[0].startswith("With "), "the answer comes first"
        assert lines[-2:] == ["tables: here", "page:   there"]
        kept = {results.plan.protocol.reference, results.plan.protocol.focus} & {row[0].value for row in table.rows}
        below = text[text.index(table.title[:20]) :]
        assert all(f"  {label}" in below for label in kept)
        assert ("and 4 more records" in text) == bool(problems)
