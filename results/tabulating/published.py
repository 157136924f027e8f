"""Published scores next to ours, with a verdict if encoder, task, metric, method and size are the same."""

import csv
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from amix.specs.run_plan import FULL, RunPlan
from results.analysis.cells import seed_averages, summaries
from results.loading.frame import Results
from results.loading.wording import selection_words
from results.stats.reproduction import Summary, compare, sample_sd
from results.tabulating.table import P_VALUE, Cell, Column, Table

REFERENCE = Path(__file__).parent.parent / "published"
SCORE = ".2f"
AVERAGE = "average"


@dataclass(frozen=True)
class Published:
    """One published score in points, under our names; std with divisor n - 1 as far as known, or None."""

    paper: str
    setting: str
    encoder: str
    method: str
    task: str
    metric: str
    size: str
    mean: float
    std: float | None
    n: int
    provenance: str


@cache
def published() -> tuple[Published, ...]:
    """Every published score whose encoder, method, metric and size have a counterpart here."""
    names = {(row["kind"], row["published"]): row["ours"] for row in _rows("our_names.csv")}
    divided_by_n = {row["paper"] for row in _rows("papers.csv") if row["divisor"] == "n"}
    scores = []
    for row in _rows("published_numbers.csv"):
        encoder, method, metric = (
            names.get((kind, row[column]))
            for kind, column in (("encoder", "model"), ("method", "method"), ("metric", "metric"))
        )
        size = _size(row["setting"])
        if encoder and method and metric and size:
            n = int(row["n_seeds"] or 0)
            std = float(row["std"]) if row["std"] else None
            if std is not None and n > 1 and row["paper"] in divided_by_n:
                std = sample_sd(std, n)
            score = (float(row["mean"]), std, n, row["provenance"])
            scores.append(Published(row["paper"], row["setting"], encoder, method, row["task"], metric, size, *score))
    return tuple(scores)


def _rows(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _size(setting: str) -> str | None:
    number = re.match(r"(\d+) train samples", setting)
    if number:
        return number[1]
    return FULL if "full train set" in setting else None


def published_table(results: Results) -> Table | None:
    """Ours minus published for every comparable score; None if there is none, and for dev scores."""
    plan = results.plan
    if results.split != "test":
        return None
    labels: dict[str, str] = {}
    for method in plan.methods:
        labels.setdefault(method.method, method.label)
    rows = []
    for score in published():
        if score.encoder == plan.encoder and score.method in labels:
            ours = _ours(results, score, labels[score.method])
            if ours is not None:
                rows.append(_row(score, ours, labels[score.method], plan))
    if not rows:
        return None
    columns = (
        Column("Method"),
        Column("Task", text=True),
        Column("N", "examples"),
        Column("Ours", "", SCORE),
        Column("Published", "", SCORE),
        Column("Difference", "points", "+.2f"),
        Column("from", "95 %", "+.2f"),
        Column("to", "95 %", "+.2f"),
        Column("Equivalence", "p", P_VALUE),
        Column("Verdict", text=True),
        Column("Paper", text=True),
        Column("Their setting", text=True),
        Column("Provenance", text=True),
    )
    return Table(
        name="published",
        title=f"{plan.title}: published scores and ours",
        caption=(
            f"Test score × 100, mean ± standard deviation (runs in brackets), encoder {plan.encoder}, our selection: "
            f"{selection_words(results.selection)}. Difference with Welch's interval from the summaries. Reproduced: "
            f"both one-sided tests show a gap below {plan.protocol.margin:g} points; not reproduced: Welch's test "
            "shows a gap; otherwise there is too little data to say, which is not a failure to reproduce. All tests at "
            f"α = {plan.protocol.alpha:g}."
        ),
        columns=columns,
        rows=tuple(rows),
        notes=("Their settings differ from ours in what they test and select on: see the last columns.",),
        banner=plan.note,
    )


def _ours(results: Results, score: Published, label: str) -> Summary | None:
    """Our runs of the same task, metric and size, or of the same tasks if an average was published."""
    tasks = results.plan.tasks.values()
    if score.metric == AVERAGE:
        if {task.title for task in tasks} != set(score.task.removeprefix("average ").split("/")):
            return None
        if score.size not in results.plan.sizes:
            return None
        averages = seed_averages(results, score.size)[label].dropna()
        return Summary(float(averages.mean()), float(averages.std(ddof=1)), len(averages)) if len(averages) else None
    for task in tasks:
        named = task.plain_title or task.name
        if named == score.task and task.metric == score.metric and task.n_train in (None, _count(score.size)):
            size = score.size if task.n_train is None else results.plan.sizes[0]
            cell = summaries(results).get((size, task.name, label))
            return Summary(cell.mean, cell.std, cell.n) if cell is not None and cell.n else None
    return None


def _count(size: str) -> int | None:
    return None if size == FULL else int(size)


def _row(score: Published, ours: Summary, label: str, plan: RunPlan) -> tuple[Cell, ...]:
    theirs = Summary(score.mean, score.std, score.n)
    compared = compare(ours, theirs, plan.protocol.margin, plan.protocol.alpha)
    return (
        Cell(label),
        Cell(score.task),
        Cell(score.size),
        Cell(ours.mean, ours.sd, ours.n),
        Cell(score.mean, score.std, score.n or None),
        Cell(compared.difference),
        Cell(compared.low),
        Cell(compared.high),
        Cell(compared.equivalence_p),
        Cell(compared.verdict),
        Cell(score.paper),
        Cell(score.setting),
        Cell(score.provenance),
    )
