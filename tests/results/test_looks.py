"""Suites that declared several looks: what tables claim, and what a sweep still runs."""

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

from helpers import synthetic_records
from results.analysis.claims import claims, primary_claims
from results.analysis.comparisons import against
from results.analysis.looks import (
    decision_sentences,
    decisions,
    next_rows,
    ordered_differences,
    primary_decisions,
    primary_sentences,
)
from results.analysis.summary_text import answer
from results.loading.frame import Results, load
from results.loading.layout import Layout
from results.loading.preregistration import protocol_sentence
from results.stats import holm, sign_flip
from results.stats.across_tasks import stratified_sign_flip
from results.stats.sequential import Looks, sequential_p
from results.stats.sequential_family import decide
from results.tabulating.collect import make_tables
from runners.planning.job import Job
from runners.sweeping.looks import blocks
from runners.sweeping.todo import Todo

SEEDS = (7, 3, 9, 1, 8, 2)
"""Not ascending, since looks follow the plan's order."""
SUITE = synthetic_records.Suite(
    methods=("vanilla", "agwm", "mixout"), tasks=("cola", "rte"), seeds=SEEDS, looks=(4, 6), gains={"agwm": 9.0}
)


def results_of(folder: Path, suite: synthetic_records.Suite = SUITE) -> Results:
    return load("toy", synthetic_records.write(suite, folder))


def test_one_look_after_all_seeds_equals_the_test_without_looks(tmp_path: Path) -> None:
    without = claims(results_of(tmp_path / "a", dataclasses.replace(SUITE, looks=())), "100", "vanilla")
    one = claims(results_of(tmp_path / "b", dataclasses.replace(SUITE, looks=(6,))), "100", "vanilla")
    for label, claim in without.items():
        assert one[label].p == pytest.approx(claim.p)
        assert one[label].p_holm == pytest.approx(claim.p_holm)
        assert one[label].difference == pytest.approx(claim.difference)
        assert one[label].floor == pytest.approx(claim.floor)


def test_claims_come_from_the_sequential_test_in_the_plans_order_of_seeds(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    suite = SUITE
    gaps = [
        [
            synthetic_records.score(suite, "mixout", task, 100, seed)
            - synthetic_records.score(suite, "vanilla", task, 100, seed)
            for seed in SEEDS
        ]
        for task in suite.tasks
    ]
    assert ordered_differences(results, "100", "rte", "mixout", "vanilla") == pytest.approx(gaps[1])
    assert claims(results, "100", "vanilla")["mixout"].p == sequential_p(gaps, Looks((4, 6)))[-1]
    cell = against(results, "100", "vanilla").set_index(["task", "label"]).loc[("rte", "mixout")]
    assert cell["p"] == sequential_p([gaps[1]], Looks((4, 6)))[-1]
    assert cell["p"] != sign_flip(gaps[1]).p


def test_a_decided_comparison_uses_only_the_seeds_up_to_its_look(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    decision = decisions(results, "100", "vanilla")["agwm"]
    assert (decision.state, decision.look, decision.seeds) == ("rejected", 1, 4)
    claim = claims(results, "100", "vanilla")["agwm"]
    gaps = [ordered_differences(results, "100", task, "agwm", "vanilla")[:4] for task in SUITE.tasks]
    assert claim.difference == pytest.approx(numpy.mean(gaps))
    assert claim.seeds == 4
    assert claim.p > stratified_sign_flip(gaps).p, "a first look pays for the later ones"
    assert (claim.low, claim.high) == (decision.low, decision.high)


def test_before_the_first_look_nothing_can_be_claimed(tmp_path: Path) -> None:
    late = [(method, task, seed) for method in SUITE.methods for task in SUITE.tasks for seed in SEEDS[3:]]
    results = results_of(tmp_path, dataclasses.replace(SUITE, left_out=tuple(late)))
    claim = claims(results, "100", "vanilla")["agwm"]
    assert (claim.p, claim.p_holm, claim.floor) == (1.0, 1.0, 1.0)
    assert next_rows(results) == {"vanilla", "agwm", "mixout"}
    estimate, decision, _ = answer(results, "100")
    assert "interval" not in estimate
    assert decision == "Nothing is decided before the first look, after 4 seeds of every task."


@pytest.mark.parametrize(
    ("seeds", "looks", "words"),
    [
        (13, (), "exact task-stratified sign-flip test, Holm"),
        (
            14,
            (),
            "sign-flip test (of more than 40 differences without a common unit, p from 100,000 drawn sign patterns)",
        ),
        (6, (6,), "6 seeds (of more than 16 differences up to the last look, p from 20,000 drawn sign patterns)"),
    ],
)
def test_captions_call_a_p_exact_only_if_every_sign_pattern_was_counted(
    tmp_path: Path, seeds: int, looks: tuple[int, ...], words: str
) -> None:
    suite = synthetic_records.Suite(methods=("vanilla", "agwm", "mixout"), seeds=tuple(range(seeds)), looks=looks)
    tables = {table.name: table for table in make_tables(results_of(tmp_path, suite))}
    assert words in tables["against-vanilla-n100"].caption
    marks = " ".join(tables["main-n100"].notes)
    assert ("exact paired sign-flip test over seeds" in marks) == ("exact" in words)
    assert ("drawn sign patterns" in marks) == ("drawn" in words)
    assert "the exact sign flip" in tables["cells-against-vanilla-n100"].caption, "a single task has few seeds"


def test_tables_state_what_each_look_decided(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    table = next(table for table in make_tables(results) if table.name == "against-vanilla-n100")
    assert "over looks after 4 and 6 seeds" in table.caption
    assert "interval over all looks" in table.caption
    sentences = decision_sentences(results, "100")
    assert sentences[0].startswith("Decided at look 1 of 2, after 4 seeds: agwm (better, +")
    assert sentences[1:] == ["Without a decision after the last look: mixout."]
    assert set(sentences) <= set(table.notes)


def state_of(suite: synthetic_records.Suite) -> SimpleNamespace:
    """The parts of a sweep's state that blocks() reads: the suite and its runs."""
    jobs = tuple(
        Job(method, suite.spec(method, task, 100, seed), 1.0)
        for seed in suite.seeds
        for method in suite.methods
        for task in suite.tasks
    )
    rows = [SimpleNamespace(label=method) for method in suite.methods]
    protocol = SimpleNamespace(looks=suite.looks, reference="vanilla")
    asked = SimpleNamespace(name="toy", seeds=suite.seeds, methods=rows, protocol=protocol)
    todo = Todo(jobs, {job.spec.key: 1.0 for job in jobs}, 0)
    return SimpleNamespace(plan=SimpleNamespace(suite=asked), todo=todo)


def test_a_sweep_runs_the_next_seeds_only_for_open_comparisons(tmp_path: Path) -> None:
    late = [(method, task, seed) for method in SUITE.methods for task in SUITE.tasks for seed in SEEDS[4:]]
    layout = synthetic_records.write(dataclasses.replace(SUITE, left_out=tuple(late)), tmp_path)
    messages: list[str] = []
    asked = blocks(state_of(SUITE), SEEDS, layout, messages.append)  # type: ignore[arg-type]
    first, second = next(asked), next(asked)
    assert {job.spec.seed for job in first.runs} == set(SEEDS[:4])
    assert {job.label for job in first.runs} == {"vanilla", "agwm", "mixout"}
    assert {job.spec.seed for job in second.runs} == set(SEEDS)
    assert {job.label for job in second.runs} == {"vanilla", "mixout"}, "agwm is decided"
    assert messages[0].startswith("Decided at look 1 of 2")
    assert messages[1] == "Not decided yet: mixout."
    shutil.rmtree(layout.records)
    synthetic_records.write(SUITE, tmp_path)
    assert list(asked) == [], "the last look ends it"


def test_a_sweep_ends_when_every_comparison_is_decided(tmp_path: Path) -> None:
    suite = dataclasses.replace(SUITE, gains={"agwm": 9.0, "mixout": -9.0})
    layout = synthetic_records.write(suite, tmp_path)
    assert len(list(blocks(state_of(suite), suite.seeds, layout, lambda words: None))) == 1  # type: ignore[arg-type]


def notes_of(results: Results, label: str) -> set[str]:
    """The footnotes of a row of the main table."""
    table = next(table for table in make_tables(results) if table.name == "main-n100")
    (row,) = [row for row in table.rows if row[0].value == label]
    return {note for cell in row for note in cell.notes}


def test_tables_tell_runs_that_were_not_needed_from_missing_ones(tmp_path: Path) -> None:
    late = [(method, task, seed) for method in ("agwm", "mixout") for task in SUITE.tasks for seed in SEEDS[4:]]
    results = results_of(tmp_path / "open", dataclasses.replace(SUITE, left_out=tuple(late)))
    spared = "2 of 6 runs without a score: 2 not needed, as an earlier look had decided"
    assert spared in notes_of(results, "agwm")
    assert "2 of 6 runs without a score: 2 not run" in notes_of(results, "mixout"), "its comparison is open"
    assert "4 have no score, and 4 were not needed, as an earlier look had decided" in " ".join(answer(results, "100"))
    gains = {"agwm": 9.0, "mixout": -9.0}
    late += [("vanilla", task, seed) for task in SUITE.tasks for seed in SEEDS[4:]]
    results = results_of(tmp_path / "decided", dataclasses.replace(SUITE, gains=gains, left_out=tuple(late)))
    assert spared in notes_of(results, "vanilla"), "nothing is left to compare with it"


def everything(state: SimpleNamespace, seeds: tuple[int, ...], layout: Layout) -> list[Todo]:
    return list(blocks(state, seeds, layout, lambda words: None))  # type: ignore[arg-type]


def test_without_looks_or_comparisons_or_with_chosen_seeds_everything_is_one_block(tmp_path: Path) -> None:
    alone = dataclasses.replace(SUITE, methods=("vanilla",))
    for suite in (dataclasses.replace(SUITE, looks=()), dataclasses.replace(SUITE, seeds=SEEDS[2:]), alone):
        (block,) = everything(state_of(suite), SEEDS, Layout(tmp_path))
        assert len(block.runs) == len(suite.seeds) * len(suite.methods) * 2


def test_records_of_later_seeds_do_not_decide_a_look(tmp_path: Path) -> None:
    layout = synthetic_records.write(SUITE, tmp_path)
    state = state_of(SUITE)
    repeated = [job for job in state.todo.runs if job.label == "mixout" and job.spec.seed in SEEDS[4:]]
    state.todo = Todo(tuple(repeated), {job.spec.key: 1.0 for job in repeated}, 0)
    first, second = everything(state, SEEDS, layout)
    assert (len(first.runs), len(second.runs)) == (0, len(repeated)), "runs to be done again are done"


def test_seeds_beyond_the_last_look_are_the_last_block(tmp_path: Path) -> None:
    suite = dataclasses.replace(SUITE, looks=(2, 4))
    result = everything(state_of(suite), SEEDS, synthetic_records.write(suite, tmp_path))
    assert {job.spec.seed for job in result[-1].runs} == set(SEEDS[4:])
    assert {job.label for job in result[-1].runs} == {"vanilla", "agwm", "mixout"}


def test_a_missing_seed_delays_a_look(tmp_path: Path) -> None:
    suite = dataclasses.replace(SUITE, outcomes={("vanilla", "rte", SEEDS[1]): "oom"})
    results = results_of(tmp_path, suite)
    assert len(ordered_differences(results, "100", "rte", "agwm", "vanilla")) == 1
    assert {one.look for one in decisions(results, "100", "vanilla").values()} == {0}
    assert claims(results, "100", "vanilla")["agwm"].p == 1.0


def test_a_row_that_cannot_reach_the_last_look_is_not_in_the_family(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    runs = {key: run for key, run in results.plan.runs.items() if run.label != "mixout" or run.seed in SEEDS[:4]}
    shorter = dataclasses.replace(results, plan=results.plan.model_copy(update={"runs": runs}), cache={})
    assert set(decisions(shorter, "100", "vanilla")) == {"agwm"}
    assert set(claims(shorter, "100", "vanilla")) == {"agwm"}
    assert claims(shorter, "100", "vanilla")["agwm"].comparisons == 1


def test_a_task_shows_the_seeds_behind_its_p_value(tmp_path: Path) -> None:
    suite = dataclasses.replace(SUITE, outcomes={("mixout", "rte", SEEDS[5]): "oom"})
    cell = against(results_of(tmp_path, suite), "100", "vanilla").set_index(["task", "label"]).loc[("rte", "mixout")]
    assert cell["n"] == 4


PAIRS = (("agwm", "vanilla"), ("agwm", "mixout"))
ALIKE = dataclasses.replace(SUITE, gains={"agwm": 9.0, "mixout": 9.0})
"""Both rows differ from vanilla at the first look, and not from each other."""


def test_an_open_primary_pair_keeps_both_its_rows_running(tmp_path: Path) -> None:
    late = [(method, task, seed) for method in SUITE.methods for task in SUITE.tasks for seed in SEEDS[4:]]
    suite = dataclasses.replace(ALIKE, primary=PAIRS, left_out=tuple(late))
    layout = synthetic_records.write(suite, tmp_path)
    messages: list[str] = []
    _, second = everything_said(suite, layout, messages)
    assert {job.label for job in second.runs} == {"agwm", "mixout"}
    assert messages[0].startswith(
        "Primary comparisons: decided at look 1 of 2, after 4 seeds: agwm − vanilla (better, +"
    )
    assert messages[1] == "Primary comparisons: not decided yet: agwm − mixout."
    assert messages[2].startswith("Decided at look 1 of 2, after 4 seeds: agwm (better")
    without = dataclasses.replace(suite, primary=())
    assert len(everything_said(without, synthetic_records.write(without, tmp_path / "without"), [])) == 1


def everything_said(suite: synthetic_records.Suite, layout: Layout, messages: list[str]) -> list[Todo]:
    return list(blocks(state_of(suite), SEEDS, layout, messages.append))  # type: ignore[arg-type]


def test_a_row_that_only_a_primary_pair_kept_running_lacks_nothing(tmp_path: Path) -> None:
    late = tuple(("vanilla", task, seed) for task in SUITE.tasks for seed in SEEDS[4:])
    results = results_of(tmp_path, dataclasses.replace(ALIKE, primary=PAIRS, left_out=late))
    assert next_rows(results) == set()
    assert "2 of 6 runs without a score: 2 not needed, as an earlier look had decided" in notes_of(results, "vanilla")
    assert "0 have no score, and 4 were not needed" in " ".join(answer(results, "100"))
    assert primary_claims(results, "100")["agwm − mixout"].seeds == 6
    assert claims(results, "100", "vanilla")["agwm"].seeds == 4


def test_primary_comparisons_are_a_family_of_their_own(tmp_path: Path) -> None:
    results = results_of(tmp_path, dataclasses.replace(SUITE, primary=PAIRS))
    gaps = {
        f"{label} − {other}": [ordered_differences(results, "100", task, label, other) for task in SUITE.tasks]
        for label, other in PAIRS
    }
    expected = decide(gaps, Looks((4, 6)))
    assert primary_decisions(results, "100") == expected
    found = primary_claims(results, "100")
    for name, one in expected.items():
        assert (found[name].p, found[name].p_holm) == (one.p, one.p_adjusted)
        assert (found[name].low, found[name].high, found[name].comparisons) == (one.low, one.high, 2)
    table = next(table for table in make_tables(results) if table.name == "primary-n100")
    assert [row[0].value for row in table.rows] == list(found)
    assert set(primary_sentences(results, "100")) <= set(table.notes)
    assert "primary, and corrected among themselves: agwm − vanilla and agwm − mixout" in protocol_sentence(
        results.plan
    )
    assert "Primary, apart from the others, Holm over 2: agwm − vanilla +" in answer(results, "100")[1]
    assert not any(table.name.startswith("primary") for table in make_tables(results_of(tmp_path / "none")))


def test_a_primary_comparison_that_cannot_be_made_yet_still_counts(tmp_path: Path) -> None:
    left_out = tuple(("mixout", "rte", seed) for seed in SEEDS)
    suite = dataclasses.replace(SUITE, looks=(), primary=PAIRS)
    whole = primary_claims(results_of(tmp_path / "whole", suite), "100")
    assert [claim.p_holm for claim in whole.values()] == list(holm([claim.p for claim in whole.values()]))
    (claim,) = primary_claims(
        results_of(tmp_path / "part", dataclasses.replace(suite, left_out=left_out)), "100"
    ).values()
    assert (claim.label, claim.p_holm) == ("agwm − vanilla", 2 * claim.p)
