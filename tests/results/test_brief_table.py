"""The table at the end of a command fits the terminal, with whole names, and keeps the average longest."""

import pytest
from rich.console import Console

from results.tabulating.render.terminal import brief
from results.tabulating.table import Cell, Column, Table

TABLE = Table(
    name="main-n100",
    title="Methods",
    caption="Long caption. " * 20,
    columns=(Column("Method"), Column("First task"), Column("Second task"), Column("Average"), Column("Time")),
    rows=((Cell("a_method_with_a_long_name"), *(Cell(float(i), spread=1.0, notes=("a note",)) for i in range(4))),),
)


def lines(width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(brief(TABLE, console))
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
