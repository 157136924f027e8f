"""What a terminal gets: no control characters of input files (nor do other outputs), no table wider than it, counts."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from amix.specs.visible_text import visible
from amix.specs.wording import counted, one_line
from results.loading.record_checks import Problem
from results.tabulating.render import csv_text, html_table, latex, markdown, terminal
from results.tabulating.render.terminal import brief
from results.tabulating.table import Cell, Column, Table
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
        console.print(brief(WIDE, console))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 70, 80, 100, 160])
def test_no_table_is_wider_than_the_terminal_and_no_name_is_wrapped(width: int) -> None:
    shown = lines(width)
    assert max(map(len, shown)) <= width
    assert any("a_method_with_a_long_name" in line for line in shown)
    assert any("Average" in line for line in shown)


def test_spreads_are_dropped_before_columns_and_columns_from_the_right() -> None:
    widths = {width: " ".join(" ".join(lines(width)).split()) for width in range(60, 161)}
    with_spread = {width for width, text in widths.items() if "±" in text}
    with_time = {width for width, text in widths.items() if "Time" in text}
    with_second = {width for width, text in widths.items() if "Second task" in text}
    assert {160} <= with_spread < with_time < with_second
    assert all(("Left out to fit" in text) == (width not in with_spread) for width, text in widths.items())


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
