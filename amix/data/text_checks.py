"""What can be wrong with texts themselves: repeated ones, ones with two labels, ones that were damaged on the way."""

import re

import pandas

from amix.data.table_files import PLACE
from amix.specs.data_errors import shown
from amix.specs.tasks import Task

DAMAGED = re.compile("\N{REPLACEMENT CHARACTER}|[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac")
"""A letter that was lost, or UTF-8 that was once read as cp1252: `fÃ¼r`, `donâ€™t`."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def text_findings(file: str, rows: pandas.DataFrame, task: Task) -> list[tuple[str, str, str]]:
    """Severity, kind and sentence of what is wrong with a file's texts.

    Args:
        file: its name, for the sentences.
        rows: with the task's text columns, `label`, and the place of each row where it has one.
        task: names the text columns.

    Returns:
        As amix.data.data_checks.Finding wants them.
    """
    texts, found = list(task.text), []
    contradicting = rows[rows.groupby(texts, sort=False)["label"].transform("nunique") > 1]
    if len(contradicting) and not task.regression:  # People who rate a text differ by a little.
        count = contradicting[texts].drop_duplicates().shape[0]
        first = contradicting[(contradicting[texts] == contradicting[texts].iloc[0]).all(axis=1)]
        said = f"{file}: {_texts(count)} with different labels ({_where(first)})"
        found.append(("warning", "contradicting labels", said))
    repeated = rows[rows.duplicated(texts, keep="first")]
    if len(repeated):
        first = rows[(rows[texts] == repeated[texts].iloc[0]).all(axis=1)]
        said = f"{file}: {len(repeated)} of {len(rows)} rows repeat a text that stands above ({_where(first)})"
        found.append(("warning" if len(repeated) >= 0.05 * len(rows) else "note", "repeated texts", said))
    for pattern, about, words in (
        (DAMAGED, "damaged letters", "hold letters that were damaged by a wrong encoding: export the data anew"),
        (CONTROL, "control characters", "hold control characters"),
    ):
        wrong = rows[[any(map(pattern.search, one)) for one in rows[texts].itertuples(index=False, name=None)]]
        if len(wrong):
            example = next(text for text in wrong[texts].iloc[0] if pattern.search(text))
            said = f"{file}: {len(wrong)} texts {words} ({_where(wrong)}: {shown(example)})"
            found.append(("warning", about, said))
    return found


def _texts(count: int) -> str:
    return f"{count} text stands there" if count == 1 else f"{count} texts stand there"


def _where(rows: pandas.DataFrame) -> str:
    """The places of the first two rows."""
    if PLACE in rows:
        return " and ".join(rows[PLACE].iloc[:2].tolist())
    return " and ".join(f"row {place + 1}" for place in rows.index[:2])
