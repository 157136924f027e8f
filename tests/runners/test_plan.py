"""Suite files, plans, and which runs of a plan are left to do."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import amix.training.registry
from amix.specs.encoders import find_encoder
from amix.specs.run_plan import read_plan
from amix.specs.run_spec import SCHEMA
from amix.specs.seed_sources import PRESETS
from amix.specs.store import Store
from amix.specs.tasks import find_task
from amix.training.registry import find_method, methods
from amix.training.settings import full_settings
from helpers.toy_suite import write_suite
from results.loading.archive import stored_records
from results.loading.frame import load
from results.loading.layout import Layout
from results.loading.wording import size_words
from runners.planning.chosen import chosen_plan
from runners.planning.overrides import with_choices
from runners.planning.plan import SuitePlan, count_runs, make_plan
from runners.planning.seeds import chosen_seeds
from runners.planning.suite import SuiteError, find_suite, method_rows, read_suite, suite_names
from runners.planning.suite_file import PAPER
from runners.sweeping import state
from runners.sweeping.jobs import Outcome
from runners.sweeping.state import SweepState
from runners.sweeping.todo import SECONDS_PER_WEIGHT, todo

MAIN_SUITES = ("quick", "lowres-cpu", "lowres-gpu")
OWN_METHOD = '''
from amix.training.method import Method
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class Mine(Method):
    """Plain finetuning under another name."""

    name = "mine"
    info = MethodInfo(paper="nobody, 2026", year=2026, kind="test")
'''


def plan_of(folder: Path, **changes: str) -> SuitePlan:
    return make_plan(read_suite(write_suite(folder, "minilm-l3", **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_of_the_project_becomes_a_plan_that_results_can_read(name: str) -> None:
    try:
        plan = make_plan(find_suite(name))
    except SuiteError as error:
        if find_suite(name).hyperparameters == PAPER or "tune it with" not in str(error):
            raise
        pytest.skip("its settings have not been chosen yet")
    read = read_plan(json.loads(plan.run_plan.as_json()), name)
    assert read == plan.run_plan, "what is written is what is used"
    assert read.as_json() == plan.run_plan.as_json()
    assert len(read.runs) == len(plan.runs) == count_runs(find_suite(name)) > 0
    assert read.labels == tuple(row.label for row in plan.suite.methods)
    if plan.suite.protocol.split == "test":
        assert "vanilla" in read.labels, "plain finetuning is in every comparison"
    if name in MAIN_SUITES:
        assert len(plan.suite.seeds) >= 6, "fewer seeds can never show significance"


STORED = sorted({path.stem for path in Layout().records.glob("*.parquet")} & set(suite_names()))


@pytest.mark.parametrize("name", STORED)
def test_a_suite_is_listed_with_as_many_runs_as_its_stored_plan_has(name: str) -> None:
    stored = load(name, Layout()).plan
    of_its_seeds = replace(find_suite(name), seeds=stored.seeds)  # Some sweeps were of a part of the seeds.
    assert count_runs(of_its_seeds) == len(stored.runs)


def test_a_plan_pairs_every_row_with_every_task_and_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert len(plan.runs) == 2 * 2 * 3
    assert len({run.spec.key for run in plan.runs}) == 12
    assert plan.runs[0].spec.training == plan.runs[-1].spec.training
    assert plan.runs[0].spec.training["lr"] == 5e-3, "5e-3 is a number although YAML 1.1 reads a text"


def test_each_task_can_have_its_own_size(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, sizes="{mini-cola: 24, mini-stsb: 30}")
    assert {(run.spec.task, run.spec.n_train) for run in plan.runs} == {("mini-cola", 24), ("mini-stsb", 30)}
    read = read_plan(json.loads(plan.run_plan.as_json()), plan.suite.name)
    assert read.sizes == ("24-30",)
    assert {run.size for run in read.runs.values()} == {"24-30"}
    assert [task.title[-8:] for task in read.tasks.values()] == ["(N = 24)", "(N = 30)"]
    assert size_words("24-30") == "N = 24 to 30 training examples"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("{mini-cola: 24}", "missing mini-stsb"),
        ("{mini-cola: 24, mini-stsb: 0}", "sizes: mini-stsb: at least 1 is needed, found 0"),
        ("{mini-cola: 24, mini-stsb: full}", "whole number"),
        ("{mini-cola: 24, mini-stsb: 30}, 40", "whole number"),
    ],
)
def test_sizes_by_task_must_fit_the_tasks(tmp_path: Path, sizes: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        plan_of(tmp_path, sizes=sizes)


def test_a_method_not_defined_for_regression_has_no_run_on_such_a_task(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, methods="vanilla, scl")
    assert {run.spec.task for run in plan.runs if run.label == "vanilla"} == {"mini-cola", "mini-stsb"}
    assert {run.spec.task for run in plan.runs if run.label == "scl"} == {"mini-cola"}


@pytest.mark.parametrize(
    ("line", "wrong", "message"),
    [
        ("title: Tiny", "titel: Tiny", "unknown field 'titel'; did you mean title"),
        ("mini-cola, mini-stsb", "mini-kola", "did you mean mini-cola"),
        ("vanilla, mixout", "vanila, mixout", "did you mean vanilla"),
        ("vanilla, mixout, topk_layers", "vanilla, {m: {method: mixout, q: 0.1}}", "no setting 'q'"),
        ("vanilla, mixout, topk_layers", "vanilla, {plain: {method: vanilla}}", "have the same settings"),
        ("vanilla, mixout", "vanilla, vanilla", "'vanilla' is listed more than once"),
        ("lr: 5e-3", "learning_rate: 5e-3", "unknown training setting learning_rate"),
        ("[1, 2]", "{preset: agwn}", "did you mean agwm"),
        ("[1, 2]", "{preset: agwm, first: 11}", "between 1 and 10"),
        ("[1, 2]", "[1, one]", "a whole number is needed, found 'one'"),
        ("sizes: [24]", "sizes: [0]", "sizes: at least 1 is needed, found 0"),
        ("note: for tests", "protocol: {reference: mixin}", "did you mean mixout"),
        (
            "note: for tests",
            "protocol: {selection: best}",
            "protocol: selection: unknown 'best'; did you mean best_dev",
        ),
        ("note: for tests", "subset: equal", "known: uniform, stratified, balanced"),
        ("encoder: minilm-l3", "", "missing encoder"),
        ("tasks:", "tasks: [", "is not valid YAML"),
    ],
)
def test_a_wrong_suite_file_says_what_is_wrong(tmp_path: Path, line: str, wrong: str, message: str) -> None:
    path = write_suite(tmp_path, "minilm-l3")
    assert line in path.read_text()
    path.write_text(path.read_text().replace(line, wrong))
    with pytest.raises(SuiteError) as raised:
        make_plan(read_suite(path))
    assert message in str(raised.value)


def test_the_error_for_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(SuiteError, match="did you mean quick"):
        find_suite("quik")


def test_seeds_come_from_a_list_or_a_preset() -> None:
    assert chosen_seeds([3, 1]) == (3, 1)
    assert chosen_seeds("childtuning") == PRESETS["childtuning"]
    assert chosen_seeds({"preset": "agwm", "first": 6}) == (1017, 4803, 6757, 9618, 10290, 11799)


def test_seeds_that_chose_the_recipe_are_not_reported(tmp_path: Path) -> None:
    suite = with_choices(read_suite(write_suite(tmp_path, "minilm-l3")), "", "childtuning:4")
    with pytest.raises(SuiteError, match=r"\[42, 52, 57\] chose the recipe of minilm-l3"):
        make_plan(suite)


@pytest.mark.parametrize(
    ("name", "value"),
    [("alpha", 5), ("alpha", "x"), ("alpha", ".nan"), ("margin", 0), ("margin", True), ("margin", ".inf")],
)
def test_a_protocol_with_impossible_numbers_is_refused(tmp_path: Path, name: str, value: object) -> None:
    path = write_suite(tmp_path, "minilm-l3")
    path.write_text(path.read_text() + f"protocol: {{{name}: {str(value).lower()}}}\n")
    with pytest.raises(SuiteError, match=f"protocol: {name}: a .*number.* is needed, found"):
        read_suite(path)


def test_a_single_word_for_a_list_is_a_list_of_one() -> None:
    method = find_method("agwm")
    assert full_settings(method, {"modules": "query"})["modules"] == ("query",)


def test_rows_are_names_or_labels_with_settings() -> None:
    rows = method_rows(["vanilla", {"high p": {"method": "mixout", "p": 0.9}}])
    assert [(row.label, row.method, row.config) for row in rows] == [
        ("vanilla", "vanilla", {}),
        ("high p", "mixout", {"p": 0.9}),
    ]
    assert rows == method_rows({"vanilla": None, "high p": {"method": "mixout", "p": 0.9}})


def test_a_row_that_gives_up_its_own_rate_says_so_in_its_name() -> None:
    rows = method_rows(
        {
            "bitfit": {"lr": 0.01},
            "lora": {"lr": None},
            "other": {"method": "ia3", "lr": None},
            "the rate of all": {"method": "lora", "lr": None},
        }
    )
    assert [row.label for row in rows] == [
        "bitfit", "lora at the recipe's rate", "other at the recipe's rate", "the rate of all",
    ]  # fmt: skip


def test_a_row_can_run_with_only_the_first_seeds_of_the_suite(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, methods="vanilla, {mixout: {seeds: 1}}")
    seeds = {label: {run.spec.seed for run in plan.runs if run.label == label} for label in ("vanilla", "mixout")}
    assert seeds == {"vanilla": {1, 2}, "mixout": {1}}
    other = make_plan(with_choices(plan.suite, "", "2"))
    assert {run.label for run in other.runs} == {"vanilla"}, (
        "a seed from the command line does not add to the row's own"
    )
    with pytest.raises(SuiteError, match="methods: mixout: seeds counts the first of the suite's 2 seeds, not 3"):
        plan_of(tmp_path, methods="vanilla, {mixout: {seeds: 3}}")


def test_the_command_line_picks_rows_and_keeps_the_reference(tmp_path: Path) -> None:
    suite = read_suite(write_suite(tmp_path, "minilm-l3"))
    assert [row.label for row in with_choices(suite, "mixout").methods] == ["vanilla", "mixout"]
    added = with_choices(suite, "+r3f").methods
    assert [row.label for row in added] == ["vanilla", "mixout", "topk_layers", "r3f"]
    assert with_choices(suite, "", "childtuning:2").seeds == (42, 52)
    assert with_choices(suite, "", "7,8").seeds == (7, 8)
    with pytest.raises(SuiteError, match="unknown method 'nixout'"):
        with_choices(suite, "nixout")


def test_a_method_from_outside_the_project_is_planned_with_the_hash_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amix.training.registry, "_METHODS", dict(methods()))  # Other tests must not see it.
    file = tmp_path / "mine.py"
    file.write_text(OWN_METHOD)
    suite = with_choices(read_suite(write_suite(tmp_path, "minilm-l3")), f"{file}:Mine")
    plan = make_plan(suite)
    assert plan.external == (f"{file}:Mine",)
    assert [entry["label"] for entry in json.loads(plan.run_plan.as_json())["methods"]] == ["vanilla", "mine"]
    mine = next(run.spec for run in plan.runs if run.label == "mine")
    assert len(mine.method_source) == 64
    assert str(tmp_path) not in plan.run_plan.as_json(), "no path of this machine enters a plan"


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ("info = MethodInfo(paper=None, year=2026, kind='test')", "paper: a text is needed .*, found None"),
        ("info = MethodInfo(paper='nobody', year='2020', kind='test')", "year: a whole number is needed, found '2020'"),
    ],
)
def test_a_method_from_outside_the_project_with_wrong_info_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, info: str, message: str
) -> None:
    monkeypatch.setattr(amix.training.registry, "_METHODS", dict(methods()))
    file = tmp_path / "mine.py"
    file.write_text(f"{OWN_METHOD.rstrip()}\n    {info}\n")
    plan = make_plan(with_choices(read_suite(write_suite(tmp_path, "minilm-l3")), f"{file}:Mine"))
    with pytest.raises(SuiteError, match=f"methods: mine: the class Mine says {message}"):
        plan.write(Layout(tmp_path), "")


def test_a_users_own_task_is_found_relative_to_the_suite(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("{name: own, train: a.csv, test: b.csv, text: t, labels: [no, yes]}")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("t,label\nsome text,yes\n")
    plan = plan_of(tmp_path, tasks="own.yaml")
    assert plan.suite.task_files == {"own": str(tmp_path / "own.yaml")}
    assert {run.spec.task for run in plan.runs} == {"own"}
    (tmp_path / "a.csv").write_text("t,label\nanother text,yes\n")
    edited = plan_of(tmp_path, tasks="own.yaml")
    assert {run.spec.key for run in plan.runs}.isdisjoint(run.spec.key for run in edited.runs), "edited data runs again"


def test_the_data_of_a_task_file_that_is_a_link_are_beside_the_link(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "any.yaml").write_text("{name: own, train: a.csv, test: b.csv, text: t, labels: [no, yes]}")
    (tmp_path / "own.yaml").symlink_to(tmp_path / "shared" / "any.yaml")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("t,label\nx,no\ny,yes\n")
    plan = plan_of(tmp_path, tasks="own.yaml")
    assert find_task(plan.suite.task_files["own"]) == plan.suite.tasks[0]


def put(plan: SuitePlan, layout: Layout, place: int, status: str, seconds: float) -> None:
    run = plan.runs[place]
    score = {"matthews": 0.5, "spearman": 0.5}
    record = {
        "schema": SCHEMA, "key": run.spec.key, "suite": plan.suite.name, "spec": run.spec.as_dict(), "status": status,
        "scores": {"last": {"test": score}}, "cost": {"total_seconds": seconds},
    }  # fmt: skip
    Store(layout.records / plan.suite.name).put(record)


def test_the_runs_left_are_the_plan_minus_the_finished_runs(tmp_path: Path) -> None:
    plan, layout = plan_of(tmp_path), Layout(tmp_path)
    for place, status in enumerate(("ok", "diverged", "failed", "oom", "cancelled")):
        put(plan, layout, place, status, 1.0)
    damaged = Store(layout.records / "tiny").path(plan.runs[5].spec.key)
    damaged.write_text('{"schema": 1, "key"')
    left = SweepState.read(plan, layout).todo
    assert left.done == 3
    assert {run.spec.key for run in left.runs} == {run.spec.key for run in plan.runs[3:]}
    retried = SweepState.read(plan, layout, retry_failed=True).todo
    assert {run.spec.key for run in retried.runs} == {run.spec.key for run in (plan.runs[2], *plan.runs[3:])}


def test_the_expected_time_follows_finished_runs(tmp_path: Path) -> None:
    plan, layout = plan_of(tmp_path, sizes="24, 48"), Layout(tmp_path)
    guessed = todo(plan, {})
    guess = SECONDS_PER_WEIGHT * find_encoder("minilm-l3").block_weights
    assert guessed.seconds(1) == pytest.approx(guess * sum(run.work for run in plan.runs))
    first = plan.runs[0]
    put(plan, layout, 0, "ok", 100.0)
    measured = SweepState.read(plan, layout).todo
    same_row = [run for run in measured.runs if run.label == first.label and run.spec.n_train == 48]
    assert measured.expected[same_row[0].spec.key] == pytest.approx(100 * same_row[0].work / first.work)
    assert measured.seconds(2) == pytest.approx(sum(measured.expected.values()) / 2)


def test_a_sweep_goes_seed_by_seed_and_within_a_seed_row_by_row(tmp_path: Path) -> None:
    plan, layout = plan_of(tmp_path, sizes="24, 48"), Layout(tmp_path)
    rows = [row.label for row in plan.suite.methods]
    order = [(run.spec.seed, rows.index(run.label)) for run in todo(plan, {}).runs]
    assert len(order) == len(plan.runs)
    assert order == sorted(order), "the suite's seeds are 1 and 2"
    last = max(range(len(plan.runs)), key=lambda place: plan.runs[place].spec.seed)
    put(plan, layout, last, "ok", 1000.0)  # A row known to be slow keeps its place.
    left = [(run.spec.seed, rows.index(run.label)) for run in SweepState.read(plan, layout).todo.runs]
    assert left == sorted(left)
    assert len(left) == len(order) - 1


def test_a_plan_holds_what_was_declared_and_added_and_nothing_else(tmp_path: Path) -> None:
    plain = json.loads(plan_of(tmp_path).run_plan.as_json())
    assert {"tuning", "out_of_domain", "exploratory_seeds"}.isdisjoint(plain)
    assert list(plain["protocol"]) == ["reference", "focus", "alpha", "selection", "margin", "split"]
    path = write_suite(tmp_path, "minilm-l3", methods="vanilla, {mixout: {exploratory: true}}")
    more = "exploratory_seeds: [2]\nprotocol: {looks: [1, 2], endpoints: [score, log_loss]}\n"
    path.write_text(path.read_text() + more)
    plan = make_plan(read_suite(path)).run_plan
    assert (plan.protocol.looks, plan.protocol.endpoints) == ((1, 2), ("score", "log_loss"))
    assert plan.exploratory_seeds == (2,)
    assert [row.exploratory for row in plan.methods] == [False, True]
    assert read_plan(json.loads(plan.as_json()), "tiny") == plan


@pytest.mark.parametrize(
    ("methods", "seeds"), [("", ""), ("mixout", ""), ("topk_layers,r3f", "2"), ("+r3f", "2,7"), ("", "7")]
)
def test_a_part_of_a_plan_is_the_plan_of_that_part(tmp_path: Path, methods: str, seeds: str) -> None:
    suite = read_suite(write_suite(tmp_path, "minilm-l3", sizes="24, 48"))
    chosen = chosen_plan(suite, methods, seeds)
    assert chosen.part == make_plan(with_choices(suite, methods, seeds))
    everything = chosen.with_recorded({run.spec.key for run in chosen.whole.runs})
    assert {run.spec.key for run in everything.runs} == {run.spec.key for run in chosen.whole.runs}
    shown = chosen.with_recorded(set())
    assert {run.spec.key for run in shown.runs} == {run.spec.key for run in chosen.part.runs}


def test_records_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, layout = plan_of(tmp_path), Layout(tmp_path)
    put(plan, layout, 0, "ok", 1.0)
    put(plan, layout, 1, "oom", 1.0)
    reads = []

    def counted(suite: str, layout: Layout) -> object:
        reads.append(suite)
        return stored_records(suite, layout)

    monkeypatch.setattr(state, "stored_records", counted)
    state_read = SweepState.read(plan, layout)
    outcomes = {plan.runs[1].spec.key: Outcome("ok"), plan.runs[2].spec.key: Outcome("oom")}
    assert state_read.count_done(outcomes) == 2
    assert state_read.statuses(outcomes) == {"ok": 2, "oom": 1, "missing": len(plan.runs) - 3}
    assert state_read.recorded == {plan.runs[0].spec.key, plan.runs[1].spec.key}
    assert reads == ["tiny"]
