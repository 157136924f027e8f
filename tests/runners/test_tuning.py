"""Tuning: the same budget for every method, on seeds that are never reported, saved in one file per encoder."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from amix.specs.protocol import Tuning
from amix.specs.recipe import Recipe
from amix.specs.seed_sources import PRESETS
from amix.specs.store import Store
from amix.training.method import Method
from amix.training.method_info import MethodInfo
from amix.training.registry import built_in_methods, find_method
from amix.training.settings import full_settings
from helpers.synthetic_records import Suite as Records
from helpers.synthetic_records import write
from helpers.toy_suite import save_encoder, write_suite
from results.analysis.tuning import Choice, choices, expected_best, shown_budgets, trials
from results.loading.frame import load
from results.loading.layout import Layout
from results.tabulating.collect import collect
from runners.cli import app
from runners.planning import tuned_settings
from runners.planning.overrides import with_choices
from runners.planning.plan import SuitePlan, make_plan
from runners.planning.suite import Row, SuiteError, find_suite, read_suite, suite_names
from runners.planning.tuned_settings import read
from runners.planning.tuning_grid import expanded, search_space, trial_rows

SEEDS = "seeds: {preset: tuning, first: 1}\n"
TUNING = "tuning: {budget: 3}\nprotocol: {split: dev}\n"


def tuning_suite(folder: Path, encoder: Path | str = "minilm-l3", **changes: str) -> Path:
    """The tiny suite as a tuning suite."""
    path = write_suite(folder, encoder, **changes)  # type: ignore[arg-type]
    path.write_text(path.read_text().replace("seeds: [1, 2]\n", SEEDS) + TUNING)
    return path


def changed(path: Path, old: str, new: str) -> Path:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return path


def space(name: str, recipe: Recipe | None = None, **row: dict[str, object]) -> list[tuple[dict, dict]]:
    return search_space(find_method(name), Row(name, name, **row), recipe or Recipe(lr=1e-3, epochs=2))


# The space and the budget


def test_the_space_is_the_grid_times_the_factors_on_the_recipe() -> None:
    found = space("mixout")
    assert len(found) == 5 * 9
    assert ({"p": 0.1}, {"lr": 5e-4, "epochs": 6}) in found
    assert len(space("vanilla")) == 9


def test_a_methods_own_setting_replaces_the_recipes() -> None:
    assert {tuple(training) for _, training in space("lora")} == {("epochs",)}, "lora has its own learning rate"
    assert {name for settings, _ in space("lora") for name in settings} == set(find_method("lora").info.grid)


def test_settings_given_in_a_row_are_not_tuned() -> None:
    found = space("mixout", config={"p": 0.2}, training={"lr": 1e-5})
    assert found == [({}, {"epochs": epochs}) for epochs in (2, 4, 6)]


def test_epochs_are_steps_if_the_recipe_counts_in_steps() -> None:
    assert {tuple(training.items()) for _, training in space("lora", Recipe(steps=10))} == {
        (("steps", steps),) for steps in (10, 20, 30)
    }


def test_a_method_without_gradient_steps_has_no_recipe_to_tune() -> None:
    class ClosedForm(Method):
        info = MethodInfo(paper="none", year=2026, kind="test", trains_by_steps=False, grid={"strength": (1.0, 2.0)})

    assert search_space(ClosedForm, Row("closed", "closed"), Recipe()) == [
        ({"strength": 1.0}, {}),
        ({"strength": 2.0}, {}),
    ]


def test_a_rows_own_grid_replaces_every_other() -> None:
    row = Row("mixout", "mixout", grid={"p": (0.3, 0.7), "lr": (1e-5, 1e-4, 1e-3)})
    found = search_space(find_method("mixout"), row, Recipe())
    assert found == [({"p": p}, {"lr": lr}) for p in (0.3, 0.7) for lr in (1e-5, 1e-4, 1e-3)]


@pytest.mark.parametrize("name", ["lowres-cpu", "paper-gpu"])
def test_a_tuned_comparison_tries_equally_many_settings_for_each_method(name: str) -> None:
    tuning, tuned = find_suite(f"tune-{name}"), find_suite(f"{name}-tuned")
    assert [row.method for row in tuning.methods] == [row.method for row in tuned.methods]
    assert (tuning.tasks, tuning.encoder) == (tuned.tasks, tuned.encoder)
    assert set(tuning.sizes) <= set(tuned.sizes)
    found = Counter(row.method for row in expanded(tuning).methods)
    assert set(found.values()) == {6}


def test_every_method_gets_the_budget_and_a_larger_one_adds_to_it() -> None:
    suite = find_suite("tune-embedded")
    assert suite.tuning is not None
    count = {row.label: len(trial_rows(suite, row, suite.tuning)) for row in suite.methods}
    assert len(count) >= 8
    assert set(count.values()) == {suite.tuning.budget}
    row = next(row for row in suite.methods if row.method == "mixout")
    few, many = (trial_rows(suite, row, Tuning(budget=budget)) for budget in (2, 5))
    assert few == many[:2]
    assert trial_rows(suite, row, Tuning(budget=5, shuffle=1)) != many
    assert len(trial_rows(suite, row, Tuning(budget=10_000))) == len(space("mixout"))


def test_both_tuning_suites_of_one_encoder_try_the_same_of_what_they_share() -> None:
    found = [make_plan(find_suite(name)).runs for name in ("tune-adapters", "tune-lowres-cpu")]
    keys = [{run.spec.key for run in runs if run.spec.method in ("vanilla", "lora")} for runs in found]
    assert keys[0] == keys[1]
    assert len(keys[0]) == 2 * 6 * 2 * 3


def test_every_grid_holds_settings_that_the_method_has() -> None:
    for name, method in built_in_methods().items():
        for settings, training in space(name):
            full_settings(method, settings)
            Recipe().with_changes(training)


def test_labels_and_keys_of_all_trials_differ(tmp_path: Path) -> None:
    plan = make_plan(read_suite(tuning_suite(tmp_path)))
    assert len({row.label for row in plan.suite.methods}) == 3 * 3
    assert len({run.spec.key for run in plan.runs}) == len(plan.runs) == 3 * 3 * 2
    assert plan.suite.protocol.reference == plan.suite.methods[0].label
    assert expanded(plan.suite) is plan.suite
    assert plan.run_plan.tuning == Tuning(budget=3)


def test_choosing_methods_chooses_their_trials(tmp_path: Path) -> None:
    suite = with_choices(read_suite(tuning_suite(tmp_path)), "mixout")
    assert {row.method for row in make_plan(suite).suite.methods} == {"vanilla", "mixout"}


# Seeds and refusals


def test_tuning_seeds_are_never_reported() -> None:
    tuned_on = set(PRESETS["tuning"])
    for name in suite_names():
        suite = find_suite(name)
        if suite.tuning:
            assert set(suite.seeds) <= tuned_on
        else:
            assert tuned_on.isdisjoint(suite.seeds)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SEEDS, "seeds: [70001, 5]\n", r"tuning takes only those of the preset 'tuning' .* not \[5\]"),
        (TUNING, "", r"\[70001\] are kept for tuning and must not be reported"),
        ("protocol: {split: dev}", "", "settings are chosen on dev data; set protocol"),
        ("sizes: [24]", "sizes: [24, 48]", "settings are chosen at one size"),
        ("topk_layers]", "topk_layers, other: {method: mixout, p: 0.2}]", "each method is tuned once, but mixout"),
        ("budget: 3", "budget: 0", "tuning: budget: at least 1 is needed, found 0"),
        ("budget: 3", "budgets: 3", "unknown field 'budgets'; did you mean budget"),
    ],
)
def test_the_error_for_a_suite_that_may_not_tune_says_why(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        make_plan(read_suite(changed(tuning_suite(tmp_path), old, new)))


def test_seeds_given_on_the_command_line_are_refused_too(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="kept for tuning"):
        make_plan(with_choices(read_suite(write_suite(tmp_path, "minilm-l3")), "", "70001"))


def test_only_tuning_suites_are_tuned(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="does not tune"):
        call("tune", "--suite", write_suite(tmp_path, "minilm-l3"))


# Tuned settings in a suite

ENTRY = {
    "settings": {"p": 0.3},
    "training": {"lr": 1e-4, "epochs": 7},
    "found": {"seeds": [70001], "suite": "tiny"},
}


def tuned_plan(folder: Path, methods: str = "mixout", seeds: str = "") -> SuitePlan:
    content = {"encoder": "minilm-l3", "methods": {"mixout": ENTRY}}
    (folder / "found.yaml").write_text(yaml.safe_dump(content))
    path = write_suite(folder, "minilm-l3", methods=methods)
    path.write_text(path.read_text() + "hyperparameters: found.yaml\n")
    return make_plan(with_choices(read_suite(path), "", seeds))


def test_tuned_settings_enter_the_runs(tmp_path: Path) -> None:
    spec = tuned_plan(tmp_path).runs[0].spec
    assert spec.method_config["p"] == 0.3
    assert (spec.training["lr"], spec.training["epochs"], spec.training["max_length"]) == (1e-4, 7, 32)


def test_a_rows_own_settings_take_precedence_over_tuned_ones(tmp_path: Path) -> None:
    spec = tuned_plan(tmp_path, "mixout: {p: 0.8, training: {lr: 0.5}}").runs[0].spec
    assert (spec.method_config["p"], spec.training["lr"], spec.training["epochs"]) == (0.8, 0.5, 7)


def test_a_method_without_tuned_settings_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        SuiteError, match=r"no tuned settings of 'vanilla' for minilm-l3.*tune --suite FILE --methods \+vanilla"
    ):
        tuned_plan(tmp_path, "mixout, vanilla")


def test_seeds_used_for_tuning_are_not_reported_with_the_tuned_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENTRY["found"], "seeds", [2, 3])  # type: ignore[arg-type]
    with pytest.raises(SuiteError, match=r"\[2\] were used to tune 'mixout'"):
        tuned_plan(tmp_path)


def test_tuned_settings_of_the_project_are_found_by_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuned_settings, "FOLDER", tmp_path)
    (tmp_path / "minilm-l3.yaml").write_text(yaml.safe_dump({"methods": {"mixout": ENTRY}}))
    path = write_suite(tmp_path, "minilm-l3", methods="mixout")
    paper = make_plan(read_suite(path))
    path.write_text(path.read_text() + "hyperparameters: tuned\n")
    assert make_plan(read_suite(path)).runs[0].spec.method_config["p"] == 0.3
    changed(path, "hyperparameters: tuned", "hyperparameters: paper")
    assert make_plan(read_suite(path)) == paper


def test_a_tuning_suite_writes_the_file_that_it_names_and_leaves_the_encoders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned_settings, "FOLDER", tmp_path)
    (tmp_path / "minilm-l3.yaml").write_text("as it was")
    path = changed(tuning_suite(tmp_path, methods="mixout"), "tuning:", "hyperparameters: own.yaml\ntuning:")
    suite = read_suite(path)
    assert make_plan(suite).runs, "the file need not be there before"
    chosen = {"mixout": Choice("mixout", score=60.0, tried=3)}
    assert tuned_settings.write(suite, chosen, Layout(None)) == tmp_path / "own.yaml"
    assert set(read(tmp_path / "own.yaml", "minilm-l3")) == {"mixout"}
    assert (tmp_path / "minilm-l3.yaml").read_text() == "as it was"
    out = tmp_path / "out"
    assert tuned_settings.write(suite, chosen, Layout(out)) == out / "hyperparameters" / "own.yaml"


# Choices from records


def searched(folder: Path, missing: tuple[tuple[str, str, int], ...] = ()) -> Layout:
    """Synthetic records of a tuning: three settings of one method, two of another."""
    labels = ("mixout a=1", "mixout a=2", "mixout a=3", "lora r=1", "lora r=2")
    gains = dict(zip(labels, (0.0, 9.0, 3.0, 5.0, -5.0), strict=True))
    records = Records(
        "found", ("cola", "sst2"), labels, seeds=(70001, 70002), gains=gains, split="dev", left_out=missing,
        seed_sd=0.0, difference_sd=0.1, budget=3,
    )  # fmt: skip
    return write(records, folder)


def test_the_setting_with_the_highest_dev_score_is_chosen(tmp_path: Path) -> None:
    results = load("found", searched(tmp_path))
    chosen = choices(results, "100")
    assert {method: (choice.label, choice.tried) for method, choice in chosen.items()} == {
        "mixout": ("mixout a=2", 3),
        "lora": ("lora r=1", 2),
    }
    runs = results.runs[results.runs["label"] == "mixout a=2"]
    assert chosen["mixout"].score == pytest.approx(runs.groupby("task")["score"].mean().mean())


def test_no_setting_is_chosen_for_a_method_with_missing_runs(tmp_path: Path) -> None:
    results = load("found", searched(tmp_path, missing=(("mixout a=3", "cola", 70002),)))
    assert set(choices(results, "100")) == {"lora"}


def test_a_tuning_has_tables_and_a_figure(tmp_path: Path) -> None:
    from paper_figures.figures.expected_validation import expected_validation

    layout = searched(tmp_path, missing=(("lora r=1", "cola", 70001),))
    table, all_trials = collect("found", layout).tables
    assert (table.name, all_trials.name) == ("tuning-n100", "trials-n100")
    found = {str(row[0].value): row for row in table.rows}
    results = load("found", layout)
    scores = [trial.score for trial in trials(results, "100")["mixout"]]
    assert found["mixout"][2].value == "a=2"
    assert found["mixout"][-3].value == pytest.approx(sum(scores) / 3)
    assert found["mixout"][-1].value == pytest.approx(max(scores))
    assert found["lora"][2].notes == ("1 of 2 settings lack runs",)
    assert found["lora"][-1].missing
    drawing = expected_validation(results, "100")
    assert drawing is not None
    line = drawing.data[(drawing.data["task"] == "average") & (drawing.data["method"] == "mixout")]
    assert line["best"].tolist() == pytest.approx(expected_best(scores))
    assert "lora" not in set(drawing.data["method"][drawing.data["task"] == "average"])


def test_the_budgets_shown_are_powers_of_two_and_the_budget() -> None:
    assert [shown_budgets(budget) for budget in (1, 4, 6, 9)] == [[1], [1, 2, 4], [1, 2, 4, 6], [1, 2, 4, 8, 9]]


# The whole command, with real tiny runs


def call(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_tuning_resumes_where_it_stopped_and_its_settings_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = save_encoder(tmp_path / "tiny-bert")
    suite = tuning_suite(tmp_path, encoder, tasks="mini-cola", methods="vanilla, mixout", epochs=1)
    out = tmp_path / "out"
    tune = ("tune", "--suite", suite, "--out", out, "--workers", "0")
    assert "6 to do" in call(*tune, "--dry-run")
    call(*tune)
    file = out / "hyperparameters" / "tiny-bert.yaml"
    written, entries = file.read_text(), read(file, "tiny-bert")
    assert set(entries) == {"vanilla", "mixout"}
    found = entries["mixout"].found
    assert (found.tried, found.budget, found.n_train, found.seeds) == (3, 3, 24, (70001,))
    assert found.tasks == ("mini-cola",)
    assert entries["mixout"].settings["p"] in find_method("mixout").info.grid["p"]
    assert (out / "figures" / "tiny" / "expected-validation-n24.svg").exists()
    assert "Expected best" in (out / "tables" / "tiny" / "tuning-n24.md").read_text()

    store = Store(out / "records" / "tiny")
    keys = list(store.keys())
    records = {key: store.get(key) for key in keys}
    assert all("test" not in record["scores"]["last"] for record in records.values() if record), (
        "test data stays unseen"
    )
    for key in keys[::2]:
        store.path(key).unlink()
    file.unlink()
    modified = {key: store.path(key).stat().st_mtime_ns for key in keys[1::2]}
    assert "3 to do" in call(*tune, "--dry-run")
    call(*tune)
    assert file.read_text() == written
    assert {key: store.path(key).stat().st_mtime_ns for key in keys[1::2]} == modified

    assert "archive" in call("archive", "--suite", suite, "--out", out)
    shutil.rmtree(store.folder)
    assert "0 to do" in call(*tune, "--dry-run")

    file.unlink()
    with monkeypatch.context() as patched:
        patched.setattr("results.analysis.tuning.choices", lambda *_: {})
        assert "settings: none" in call(*tune)
    assert not file.exists(), "a file without settings could not be read"
    file.write_text(written)

    reported = write_suite(tmp_path, encoder, tasks="mini-cola", methods="vanilla, mixout", epochs=1)
    reported.write_text(reported.read_text() + f"hyperparameters: {file}\n")
    specs = {run.label: run.spec for run in make_plan(read_suite(reported)).runs}
    assert specs["mixout"].method_config["p"] == entries["mixout"].settings["p"]
    assert specs["mixout"].training["lr"] == entries["mixout"].training["lr"]
