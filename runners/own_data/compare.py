"""From one file to an answer, a model, and rows to check: the steps of `compare` in order."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy
import pandas
from numpy.typing import NDArray

from amix.data.data_checks import NOTE, WARNING, Finding, refuse_errors
from amix.data.rows import load_rows
from amix.data.splits import own_findings
from amix.models.loading import load_tokenizer
from amix.specs.encoder_files import locate
from amix.specs.encoders import find_encoder
from amix.specs.store import check_writable, write_atomically
from amix.specs.task import Task
from amix.specs.wording import counted
from results.loading.wording import duration
from results.tabulating.render.csv import csv_text
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Table
from runners.own_data.answer import answer, finetuned_row
from runners.own_data.budget import Choice, choose, expected_seconds
from runners.own_data.curves import Curves, curves_of, sizes_of
from runners.own_data.engine import (
    MAJORITY,
    MEAN,
    Engine,
    Outcome,
    ShowProgress,
    default_rows,
    rows_of,
    seconds_per_example,
)
from runners.own_data.final_model import train_final, write_card
from runners.own_data.folds import Unit, cross_validation, units_on_test_file, whole_unit
from runners.own_data.out_of_fold import OutOfFold, out_of_fold
from runners.own_data.page import curve_figure, score_table, write_page
from runners.own_data.request import CompareError, Request, one_of
from runners.own_data.standings import Comparer, Folds, OnTestFile, Standings, lowest_of, standings
from runners.planning.plan import SuitePlan
from runners.planning.tuning_grid import method_of
from runners.sweeping.place import refuse_unreachable
from runners.sweeping.preflight import check_rows
from runners.sweeping.proof_process import Proof, prove

PROVEN_ON = 200
TIMED_ON = 16
"""Number of texts of medium length to time; runs batch texts of similar length."""
MODEL, PAGE = "model", "report.html"


@dataclass(frozen=True)
class Shown:
    """How a comparison shows sentences, the findings of the data check, and the progress of runs."""

    say: Callable[[str], None]
    findings: Callable[[Sequence[Finding]], None]
    progress: ShowProgress


@dataclass(frozen=True)
class Compared:
    """The result: the table, the answer in sentences, what they are based on, and the files."""

    table: Table
    sentences: tuple[str, ...]
    standings: Standings
    curves: Curves | None
    predictions: OutOfFold
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Data:
    """The file, read and checked."""

    task: Task
    rows: pandas.DataFrame
    test: pandas.DataFrame | None
    findings: tuple[Finding, ...]

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The texts, a tuple of one or two per row."""
        return list(self.rows[list(self.task.text)].itertuples(index=False, name=None))


def compare(request: Request, shown: Shown) -> Compared:
    """Answer the request; work that an earlier call finished is not repeated.

    Raises:
        CompareError, DataError, TaskError, EncoderError, SuiteError: one line that says what to change.
        EveryRunFails: every run fails for the same reason.
        ClusterError, ParcelError, WorkersLost, WorkersRefused: a cluster cannot be used; one line as well.
    """
    engine = Engine(request, rows_of(request.methods), shown.progress, shown.say)
    if not (request.out / MODEL).exists():  # A finished comparison needs no scheduler.
        refuse_unreachable(engine.place)
    task = request.task()
    methods = {row.label: method_of(row, "--methods") for row in engine.rows}
    if request.row:
        one_of(request.row, tuple(row.label for row in engine.rows), "--row")
    data = _read(request, task, shown)
    rate = _prove(request, data, engine.workers > 0)
    recipe = find_encoder(request.encoder).recipe.with_changes(engine.training)
    defined = [row for row in engine.rows if methods[row.label].info.regression or not task.regression]
    looking = {row.label: (methods[row.label], row.config, recipe) for row in defined}
    check_rows(request.encoder, task, looking, "--methods")
    check_writable(request.out)
    units = _units(request, data)
    choice = _choose(request, engine, units, rate, shown)
    if request.row and request.row not in choice.labels:
        raise CompareError(f"--row: '{request.row}' does not fit into the time; give more --minutes, or another row")
    units = [unit for unit in units if unit.repeat < choice.repeats]
    plan = engine.plan(units, choice.labels)
    left = engine.work(plan, rate).expected
    if left:
        spent = sum(seconds for key, seconds in engine.seconds(plan, rate).items() if key not in left)
        shown.say(
            f"{len(left)} of {len(plan.runs)} training runs to do, then learning curves and the model: "
            f"about {duration(max(0.0, choice.seconds - spent / max(1, engine.workers)))} with "
            f"{max(1, engine.workers)} worker{'s' * (engine.workers > 1)}"
        )
    engine.do(plan, rate)
    outcomes = _outcomes(engine, plan, units)
    found = _standings(data, units, outcomes, request.row)
    kinds, frozen = engine.kinds(plan), default_rows()[1]
    curves = _curves(engine, data, units, outcomes, found, (frozen, finetuned_row(found, kinds)), rate)
    predictions = _out_of_fold(engine, request, data, units, outcomes, found.chosen.label, rate)
    sentences = answer(data.task, found, curves, frozen, kinds)
    unit = whole_unit(data.task, data.rows, _folder(request))
    train_final(engine, found.chosen.label, unit, data.task, predictions, request.out / MODEL, shown.say)
    return _write(request, data, engine, units, outcomes, found, curves, predictions, sentences)


def _folder(request: Request) -> Path:
    return request.out / "work" / "data"


def _read(request: Request, task: Task, shown: Shown) -> Data:
    rows = load_rows(task, task.train)
    test = load_rows(task, task.test) if task.test else None
    encoder = find_encoder(request.encoder)
    length = request.max_length or encoder.recipe.max_length
    locate(encoder)
    findings = tuple(own_findings(task, load_tokenizer(request.encoder), request.encoder, length))
    shown.findings(findings)
    refuse_errors(task, list(findings))
    return Data(task, rows, test, findings)


def _prove(request: Request, data: Data, apart: bool) -> float:
    """Check that the encoder works on these texts; returns its seconds per example and pass."""
    length = request.max_length or find_encoder(request.encoder).recipe.max_length
    prove(request.encoder, [Proof(data.task, length, data.texts[:PROVEN_ON])], apart)
    by_length = sorted(data.texts, key=lambda text: sum(map(len, text)))
    begin = max(0, (len(by_length) - TIMED_ON) // 2)
    return seconds_per_example(request.encoder, data.task, by_length[begin : begin + TIMED_ON], length)


def _units(request: Request, data: Data) -> list[Unit]:
    if data.test is not None:
        return units_on_test_file(data.task, data.rows, data.test, _folder(request))
    return cross_validation(data.task, data.rows, request.folds, request.repeats, _folder(request))


def _choose(request: Request, engine: Engine, units: Sequence[Unit], rate: float, shown: Shown) -> Choice:
    """Choose rows and repeats; the choice of a first call also holds for the calls that resume it."""
    plan = engine.plan(units[:1], [row.label for row in engine.rows])
    labels = tuple(dict.fromkeys(run.label for run in plan.runs))
    missing = [row.label for row in engine.rows if row.label not in labels]
    file = request.out / "work" / "choice.json"
    asked = {"rows": list(labels), "minutes": request.minutes, "folds": request.folds, "repeats": request.repeats,
             "encoder": request.encoder, "max_length": request.max_length, "workers": engine.workers,
             "data": plan.runs[0].spec.task_source}  # fmt: skip
    per_run = engine.seconds(plan, rate)
    seconds = {run.label: per_run[run.spec.key] for run in plan.runs}
    repeats = max(unit.repeat for unit in units) + 1
    folds = len(units) // repeats
    choice = choose(seconds, folds, repeats, engine.workers, request.minutes)
    if file.is_file() and (kept := json.loads(file.read_text()))["asked"] == asked:
        chosen, count = tuple(kept["labels"]), kept["chosen_repeats"]
        whole = expected_seconds(seconds, chosen, folds * count, engine.workers)
        choice = Choice(chosen, count, whole, tuple(kept["left_out"]))
    write_atomically(file, json.dumps({
        "asked": asked, "labels": choice.labels, "chosen_repeats": choice.repeats, "left_out": choice.left_out
    }).encode())  # fmt: skip
    if missing:
        shown.say(f"left out, as they are not defined for numbers as labels: {', '.join(missing)}")
    if choice.left_out:
        shown.say(f"left out to fit {request.minutes:g} minutes: {'; '.join(choice.left_out)}")
    if request.minutes is not None and choice.seconds > 60 * request.minutes:
        shown.say(f"even so it will take about {duration(choice.seconds)}")
    return choice


Outcomes = Mapping[str, Sequence[Outcome]]
"""By row, in the order of the units."""


def _outcomes(engine: Engine, plan: SuitePlan, units: Sequence[Unit]) -> dict[str, list[Outcome]]:
    by_row: dict[str, list[Outcome]] = {}
    for run in plan.runs:
        by_row.setdefault(run.label, []).append(engine.outcome(run))
    assert all(len(outcomes) == len(units) for outcomes in by_row.values())
    return by_row


def values_of(outcomes: Sequence[Outcome], metric: str) -> NDArray[numpy.float64]:
    """Scores (units,) by this metric, nan where undefined."""
    return numpy.array([numpy.nan if (value := one.scores.get(metric)) is None else value for one in outcomes], float)


def _standings(data: Data, units: Sequence[Unit], outcomes: Outcomes, row: str) -> Standings:
    metric = data.task.metrics[0]
    first = next(iter(outcomes.values()))
    majority = [dataclasses.replace(one, scores=one.majority, logits=None) for one in first]
    floor = MEAN if data.task.regression else MAJORITY
    everything = {floor: majority, **outcomes}
    comparer: Comparer
    if data.test is None:
        share = len(units[0].test) / units[0].train_rows if units[0].test is not None else 0.25
        values = {label: values_of(found, metric) for label, found in everything.items()}
        comparer = Folds(values, share, lowest_of(data.task))
    else:
        comparer = _on_test_file(data, everything)
    seconds = {label: median(one.seconds for one in found) for label, found in outcomes.items()}
    failed = {label: sum(one.status != "ok" for one in found) for label, found in outcomes.items()}
    without_model = [label for label, count in failed.items() if count == len(units)]
    return standings(comparer, seconds, failed, floor, without_model, row)


def _on_test_file(data: Data, everything: Outcomes) -> OnTestFile:
    """The comparer of predictions on one test file; a failed run counts as predicting the majority class."""
    assert data.test is not None
    labels = data.test["label"].to_numpy()
    train = data.rows["label"].to_numpy()
    constant = train.mean() if data.task.regression else numpy.bincount(train).argmax()
    fallback = numpy.full(len(labels), constant, dtype=float), numpy.zeros((len(labels), data.task.outputs))
    pairs = {
        label: [fallback if one.logits is None else (numpy.asarray(one.predictions), one.logits) for one in found]
        for label, found in everything.items()
    }
    predictions = {label: numpy.stack([one for one, _ in found]) for label, found in pairs.items()}
    logits = {label: numpy.stack([one for _, one in found]) for label, found in pairs.items()}
    return OnTestFile(data.task, labels, predictions, logits)


def _curves(
    engine: Engine, data: Data, units: Sequence[Unit], outcomes: Outcomes, found: Standings, more: Sequence[str],
    rate: float,
) -> Curves | None:  # fmt: skip
    """Curves of the two best rows, the frozen encoder and the best finetuned row; None if there are too few rows."""
    sizes = sizes_of([unit.train_rows for unit in units])
    best = [row.label for row in found.trained[:2]]
    labels = [label for label in dict.fromkeys((*best, *more)) if label in outcomes]
    if len(sizes) < 1:
        return None
    plan = engine.plan(units, labels, sizes)
    engine.do(plan, rate)
    metric = data.task.metrics[0]
    scores: dict[str, list[NDArray[numpy.float64]]] = {label: [] for label in labels}
    for size in sizes:
        for label in labels:
            runs = [run for run in plan.runs if run.label == label and run.spec.n_train == size]
            scores[label].append(values_of([engine.outcome(run) for run in runs], metric))
    whole = min(unit.train_rows for unit in units)
    table = {label: numpy.column_stack([*scores[label], values_of(outcomes[label], metric)]) for label in labels}
    share = len(units[0].test) / units[0].train_rows if units[0].test is not None else 1e-9
    return curves_of((*sizes, whole), table, len(data.rows), share)


def _out_of_fold(
    engine: Engine, request: Request, data: Data, units: Sequence[Unit], outcomes: Outcomes, label: str, rate: float
) -> OutOfFold:
    """Predictions for all labelled rows; if a test file was used, folds are trained for them now."""
    if data.test is None:
        return out_of_fold(data.task, data.rows, units, outcomes[label])
    folds = cross_validation(data.task, data.rows, request.folds, 1, _folder(request))
    plan = engine.plan(folds, [label])
    engine.do(plan, rate)
    return out_of_fold(data.task, data.rows, folds, [engine.outcome(run) for run in plan.runs])


def _write(
    request: Request, data: Data, engine: Engine, units: Sequence[Unit], outcomes: Outcomes, found: Standings,
    curves: Curves | None, predictions: OutOfFold, sentences: Sequence[str],
) -> Compared:  # fmt: skip
    out, task = request.out, data.task
    repeats = max(unit.repeat for unit in units) + 1
    folds = f"{len(units) // repeats} folds" + (f" x {repeats} repeats" if repeats > 1 else "")
    how = (
        f"Mean over {folds}, each trained on some {units[0].train_rows} rows."
        if data.test is None
        else f"Mean over {counted(len(units), 'training run')} on {len(data.rows)} rows, "
        f"tested on {counted(len(data.test), 'row')}."
    )
    others = {
        label: {name: float(numpy.nanmean(values_of(one, name))) for name in task.metrics[1:]}
        for label, one in outcomes.items()
    }
    table = score_table(task, found, others, how)
    recipe = find_encoder(request.encoder).recipe
    settings = (
        f"Encoder {request.encoder}, {recipe.epochs} epochs, learning rate {recipe.lr:g}, "
        f"batches of {recipe.batch_size}"
    )
    files = {
        "scores": out / "scores.csv", "out of fold": out / "out-of-fold.csv", "doubtful": out / "doubtful-labels.csv",
        "uncertain": out / "uncertain-rows.csv", "page": out / PAGE, MODEL: out / MODEL,
    }  # fmt: skip
    write_atomically(files["scores"], csv_text(table).encode())
    write_atomically(out / "scores.md", markdown(table).encode())
    for name, rows in (("out of fold", predictions.table), ("doubtful", predictions.doubtful()),
                       ("uncertain", predictions.uncertain())):  # fmt: skip
        write_atomically(files[name], rows.to_csv(index=False, float_format="%.6g").encode())
    if curves is not None:
        write_atomically(out / "learning-curves.csv", curve_figure(task, curves)[1].to_csv(index=False).encode())
    predict = f"python -m runners predict {out / MODEL} new.csv --out predictions.csv"
    lines = {kind: [f"{kind}: {one.said}" for one in data.findings if one.severity == kind] for kind in (NOTE, WARNING)}
    write_page(
        files["page"], task, sentences, lines[WARNING], lines[NOTE], table, curves, predictions,
        (request.command, predict), settings,
    )  # fmt: skip
    write_card(files[MODEL], task, found.chosen.label, request.encoder, sentences, data.findings, predictions, settings)
    return Compared(table, tuple(sentences), found, curves, predictions, files)
