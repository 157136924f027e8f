"""A Table's numbers, unrounded, as CSV."""

import csv
import io
import math

from amix.specs.visible_text import visible
from results.tabulating.table import Table


def csv_text(table: Table) -> str:
    """The table's unrounded numbers: for each column its values and, if cells have them, std, n and marks."""
    columns: list[tuple[str, list[object]]] = []
    for i, column in enumerate(table.columns):
        name = " ".join(part for part in (column.group, column.header, column.subheader) if part)
        cells = [row[i] for row in table.rows]
        columns.append((name, ["" if cell.missing else cell.value for cell in cells]))
        if any(cell.spread is not None for cell in cells):
            columns.append((f"{name} std", [_blank(cell.spread) for cell in cells]))
        if any(cell.count is not None for cell in cells):
            columns.append((f"{name} n", [_blank(cell.count) for cell in cells]))
        if any(cell.marks for cell in cells):
            columns.append((f"{name} marks", [cell.marks for cell in cells]))
    if table.banner:
        columns.append(("note", [table.banner] * len(table.rows)))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*([_plain(value) for value in values] for _, values in columns), strict=True))
    return visible(buffer.getvalue())


def _blank(value: float | int | None) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _plain(value: object) -> object:
    # Ten significant digits suffice for later computations and do not depend on the order of summation.
    return format(value, ".10g") if isinstance(value, float) else value
