"""Checks of the texts themselves: repeated texts, texts with different labels, and damaged texts."""

import re

import pandas

from amix.data.table_files import PLACE
from amix.specs.data_errors import shown
from amix.specs.task import Task

DAMAGED = re.compile("\N{REPLACEMENT CHARACTER}|[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac")
"""A lost letter, or UTF-8 that was decoded as cp1252: `fÃ¼r`, `donâ€™t`."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def text_findings(file: str, rows: pandas.DataFrame, task: Task) -> list[tuple[str, str, str]]:
    """Check the texts of a file.

    Args:
        file: The file's name, for the messages.
        rows: Rows with the task's text columns, `label` and, if known, their places.
        task: Names the text columns.

    Returns:
        Severity, kind and message of each amix.data.data_checks.Finding.
    """
    texts, findings = list(task.text), []
    contradicting = rows[rows.groupby(texts, sort=False)["label"].transform("nunique") > 1]
    if len(contradicting) and not task.regression:  # People's ratings of one text differ slightly.
        count = contradicting[texts].drop_duplicates().shape[0]
        first = contradicting[(contradicting[texts] == contradicting[texts].iloc[0]).all(axis=1)]
        message = f"{file}: {_texts_appear(count)} with different labels ({_where(first)})"
        findings.append(("warning", "contradicting labels", message))
    repeated = rows[rows.duplicated(texts, keep="first")]
    if len(repeated):
        first = rows[(rows[texts] == repeated[texts].iloc[0]).all(axis=1)]
        message = f"{file}: {len(repeated)} of {len(rows)} rows repeat the text of an earlier row ({_where(first)})"
        findings.append(("warning" if len(repeated) >= 0.05 * len(rows) else "note", "repeated texts", message))
    for pattern, about, words in (
        (DAMAGED, "damaged letters", "contain letters damaged by a wrong encoding: export the data again"),
        (CONTROL, "control characters", "contain control characters"),
    ):
        wrong = rows[[any(map(pattern.search, values)) for values in rows[texts].itertuples(index=False, name=None)]]
        if len(wrong):
            example = next(text for text in wrong[texts].iloc[0] if pattern.search(text))
            message = f"{file}: {len(wrong)} of {len(rows)} rows {words} ({_where(wrong)}: {shown(example)})"
            findings.append(("warning", about, message))
    return findings


def _texts_appear(count: int) -> str:
    return f"{count} text appears" if count == 1 else f"{count} texts appear"


def _where(rows: pandas.DataFrame) -> str:
    """Return the places of the first two rows."""
    if PLACE in rows:
        return " and ".join(rows[PLACE].iloc[:2].tolist())
    return " and ".join(f"row {place + 1}" for place in rows.index[:2])
