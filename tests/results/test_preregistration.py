"""What a suite file declares before its first run, and what it says was added after looking."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from amix.specs.protocol import Protocol
from amix.specs.run_plan import PlanError, RunPlan, read_plan
from helpers.synthetic_records import Suite as Records
from helpers.synthetic_records import write
from helpers.toy_suite import write_suite
from paper_figures.make import draw_all, made_before
from paper_figures.page.report import page
from results.analysis.claims import claims
from results.analysis.comparisons import against, significant
from results.analysis.summary_text import answer
from results.loading.archive import stored_plan
from results.loading.frame import Results, load
from results.loading.layout import Layout
from results.loading.preregistration import MARK, declarations, seeds_sentence
from results.tabulating.collect import make_tables
from results.tabulating.render.csv import csv_text
from results.tabulating.render.latex import latex
from results.tabulating.render.markdown import markdown
from runners.planning.overrides import with_choices
from runners.planning.plan import make_plan
from runners.planning.suite import Suite, SuiteError, find_suite, read_suite, suite_names

ADDED = "exploratory_seeds: [2]\n"
METHODS = "vanilla, {mixout: {exploratory: true}}, {topk_layers: {exploratory_seeds: [2]}}"


def suite_with(folder: Path, more: str = "", **changes: str) -> Suite:
    path = write_suite(folder, "minilm-l3", **changes)  # type: ignore[arg-type]
    path.write_text(path.read_text() + more)
    return read_suite(path)


def written(suite: Suite) -> dict[str, Any]:
    """The content of the suite's plan.json."""
    content: dict[str, Any] = json.loads(make_plan(suite).run_plan.as_json())
    return content


def read_back(suite: Suite) -> RunPlan:
    return read_plan(written(suite), suite.name)


def test_the_plan_keeps_looks_endpoints_and_what_was_added_after_looking(tmp_path: Path) -> None:
    more = ADDED + "protocol: {looks: [1, 2], endpoints: [score, log_loss]}\n"
    plan = read_back(suite_with(tmp_path, more, methods=METHODS))
    assert (plan.protocol.looks, plan.protocol.endpoints) == ((1, 2), ("score", "log_loss"))
    assert plan.exploratory_seeds == (2,)
    assert {row.label: (row.exploratory, row.exploratory_seeds) for row in plan.methods} == {
        "vanilla": (False, ()),
        "mixout": (True, ()),
        "topk_layers": (False, (2,)),
    }


def test_the_plan_of_a_suite_without_declarations_is_unchanged(tmp_path: Path) -> None:
    content = written(suite_with(tmp_path))
    assert set(content["protocol"]) == {"reference", "focus", "alpha", "selection", "margin", "split"}
    assert "exploratory_seeds" not in content
    assert all("exploratory" not in name for row in content["methods"] for name in row)
    plan = read_plan(content, "tiny")
    assert (plan.protocol.looks, plan.protocol.endpoints, plan.exploratory_seeds) == ((), ("score",), ())


def test_declarations_do_not_change_the_runs(tmp_path: Path) -> None:
    plain = make_plan(suite_with(tmp_path, methods="vanilla, mixout, topk_layers"))
    protocol = "protocol: {looks: [2], primary: [[topk_layers, vanilla]]}\n"
    declared = make_plan(suite_with(tmp_path, ADDED + protocol, methods=METHODS))
    assert declared.run_plan.protocol.primary == (("topk_layers", "vanilla"),)
    assert [run.spec.key for run in plain.runs] == [run.spec.key for run in declared.runs]


def test_a_primary_pair_whose_rows_the_command_line_leaves_out_is_not_in_the_plan(tmp_path: Path) -> None:
    pairs = "protocol: {primary: [[topk_layers, vanilla], [topk_layers, mixout]]}\n"
    suite = suite_with(tmp_path, pairs, methods="vanilla, mixout, topk_layers")
    assert read_back(with_choices(suite, methods="topk_layers")).protocol.primary == (("topk_layers", "vanilla"),)
    assert read_back(with_choices(suite, methods="mixout")).protocol.primary == ()


def test_added_seeds_that_the_command_line_leaves_out_are_not_in_the_plan(tmp_path: Path) -> None:
    plan = read_back(with_choices(suite_with(tmp_path, ADDED, methods=METHODS), seeds="1"))
    assert plan.exploratory_seeds == ()
    assert all(row.exploratory_seeds == () for row in plan.methods)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("protocol: {looks: [2, 1]}", r"protocol: looks: rising numbers of seeds are needed, .*, found \[2, 1\]"),
        ("protocol: {looks: [1, 1]}", "looks: rising numbers"),
        ("protocol: {looks: [0, 1]}", "looks: at least 1 is needed, found 0"),
        ("protocol: {looks: [1.5, 2]}", "looks: a whole number is needed, found 1.5"),
        ("protocol: {looks: [true, 2]}", "looks: a whole number is needed, found True"),
        ("protocol: {looks: []}", "protocol: looks: at least one"),
        ("protocol: {looks: [1, 3]}", "looks: the last one is after 3 seeds, and the suite has 2"),
        ("protocol: {endpoints: [accuracy]}", "endpoints: unknown 'accuracy'; known: score, log_loss, brier, ece"),
        ("protocol: {endpoints: [score, score]}", "endpoints: 'score' is listed more than once"),
        ("protocol: {endpoints: [score, ece], selection: best_dev}", "endpoints: ece cannot be tested with selection"),
        (
            "protocol: {endpoints: [brier], split: dev}",
            "endpoints: brier cannot be tested with .* split dev; logits are",
        ),
        ("protocol: {looks: [2], endpoints: [log_loss, score]}", "endpoints: found log_loss first; with looks it must"),
        ("protocol: {primary: []}", "protocol: primary: at least one"),
        ("protocol: {primary: [vanilla, topk_layers]}", "primary: .*list is needed, found 'vanilla'"),
        ("protocol: {primary: [[vanilla]]}", r"primary: pairs of two rows are needed, .*, found \['vanilla'\]"),
        ("protocol: {primary: [[vanilla, vanilla]]}", "primary: pairs of two rows are needed"),
        ("protocol: {primary: [[vanilla, topk_layers], [topk_layers, vanilla]]}", "a pair of rows is listed more than"),
        (
            "protocol: {primary: [[topk_layer, vanilla]]}",
            "primary: 'topk_layer' is not a row .* did you mean topk_layers",
        ),
        ("protocol: {primary: [[mixout, vanilla]]}", "primary: 'mixout' is exploratory; name a row that was planned"),
        ("exploratory_seeds: [7]", "exploratory_seeds: 7 is none of the seeds; they are 1, 2"),
        ("exploratory_seeds: [2, 2]", "exploratory_seeds: 2 is listed more than once"),
        ("exploratory_seeds: [two]", "exploratory_seeds: a whole number is needed"),
        ("protocol: {reference: mixout}", "the reference 'mixout' is exploratory"),
    ],
)
def test_the_error_for_a_wrong_declaration_says_what_is_wrong(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message) as raised:
        suite_with(tmp_path, more + "\n", methods=METHODS)
    assert "tiny.yaml" in str(raised.value)


def test_endpoints_of_probabilities_need_a_task_with_classes(tmp_path: Path) -> None:
    declared = "protocol: {endpoints: [score, brier]}\n"
    with pytest.raises(SuiteError, match=r"tiny\.yaml.*endpoints: brier cannot be tested, as no task .* has classes"):
        suite_with(tmp_path, declared, tasks="mini-stsb")
    assert suite_with(tmp_path, declared, tasks="mini-stsb, mini-cola").protocol.endpoints == ("score", "brier")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{exploratory: yes please}", "methods: mixout: exploratory: true or false is needed, found 'yes please'"),
        ("{exploratory_seeds: [3]}", "methods: mixout: exploratory_seeds: 3 is none"),
        ("{seeds: 1, exploratory_seeds: [2]}", "methods: mixout: exploratory_seeds: 2 is none"),
    ],
)
def test_the_error_for_a_wrong_row_names_it(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        suite_with(tmp_path, methods=f"vanilla, {{mixout: {row}}}")


def test_a_plan_with_an_impossible_protocol_is_refused() -> None:
    content = written(find_suite("quick"))
    content["protocol"]["looks"] = [8, 6]
    with pytest.raises(PlanError, match="protocol: looks: rising numbers"):
        read_plan(content, "quick")


def test_the_default_protocol_has_one_look_and_one_endpoint() -> None:
    assert (Protocol().looks, Protocol().endpoints) == ((), ("score",))


@pytest.mark.parametrize("name", suite_names())
def test_suites_with_looks_declare_the_last_one_at_all_their_seeds(name: str) -> None:
    suite = find_suite(name)
    assert not suite.protocol.looks or suite.protocol.looks[-1] == len(suite.seeds)


def declaring(folder: Path, **protocol: object) -> Results:
    """Synthetic results with an added row (lora), added seeds (5, 6), an added seed of a row (agwm: 3), and looks."""
    layout = write(Records(gains={"agwm": 8.0, "lora": 8.0}, difference_sd=0.5), folder)
    path = layout.plan("toy")
    content = json.loads(path.read_text())
    content["protocol"] |= protocol
    content["exploratory_seeds"] = [5, 6]
    rows = {row["label"]: row for row in content["methods"]}
    rows["lora"]["exploratory"] = True
    rows["agwm"]["exploratory_seeds"] = [3]
    path.write_text(json.dumps(content))
    return load("toy", layout)


def test_every_table_marks_the_rows_added_after_looking_and_counts_the_added_seeds(tmp_path: Path) -> None:
    tables = make_tables(declaring(tmp_path))
    assert len(tables) > 6
    for table in tables:
        marks = {str(row[0].value): row[0].marks for row in table.rows}
        assert {label for label, mark in marks.items() if mark == MARK} == {"lora", "agwm"} & set(marks), table.name
        assert "Seeds 5 and 6 of 6 were added after looking." in table.caption, table.name
        notes = " ".join(table.notes)
        assert ("the row lora" in notes) == ("lora" in marks), table.name
        assert ("seed 3 of agwm" in notes) == ("agwm" in marks), table.name
        assert MARK in csv_text(table)
        assert r"$^{\ddagger}$" in latex(table)


def test_tables_of_a_suite_without_declarations_do_not_mention_any(tmp_path: Path) -> None:
    for table in make_tables(load("toy", write(Records(), tmp_path))):
        text = markdown(table)
        assert MARK not in text
        assert "after looking" not in text
        assert "declared" not in text


def test_rows_added_after_looking_are_corrected_among_themselves(tmp_path: Path) -> None:
    results = declaring(tmp_path)
    size = results.plan.sizes[0]
    frame = against(results, size, "vanilla")
    lora = frame[frame["label"] == "lora"]
    assert set(frame.loc[frame["label"] != "lora", "comparisons"]) == {2}
    assert set(lora["comparisons"]) == {1}
    assert list(lora["p_holm"]) == list(lora["p"])
    result = claims(results, size, "vanilla")
    assert {label: claim.comparisons for label, claim in result.items()} == {"agwm": 2, "mixout": 2, "lora": 1}
    assert list(result) == ["agwm", "mixout", "lora"], "in the order of the rows"
    assert result["agwm"].p_holm == pytest.approx(2 * result["agwm"].p)
    # Six seeds reach p = 0.03125, which is significant at 0.05 alone but not in a family of two.
    assert {label for _, label in significant(against(results, size, "vanilla"), 0.05)} == {"lora"}


def test_the_protocol_is_in_the_main_table_and_on_the_page(tmp_path: Path) -> None:
    results = declaring(tmp_path, looks=[2, 4, 6], endpoints=["score", "log_loss"])
    said = "looks after 2, 4 and 6 seeds; primary endpoint each task's score, then log-loss"
    main = next(table for table in make_tables(results) if table.name == "main-n100")
    assert any(said in note for note in main.notes)
    html = page(results, [], tmp_path)
    for text in (said.replace("'", "&#39;"), "Seeds 5 and 6 of 6 were added", "the row lora; seed 3 of agwm"):
        assert text in html


def test_every_page_prints_the_protocol_and_that_nothing_departs_from_it(tmp_path: Path) -> None:
    """Also of a suite with one look and one endpoint, the form of most suites."""
    results = load("toy", write(Records(), tmp_path))
    html = page(results, [], tmp_path)
    for words in (
        "Protocol: 4 rows and 6 seeds planned; every method against vanilla, above all agwm; one look after 6 seeds; "
        "primary endpoint each task&#39;s score; test scores, selection: the last step; α = 0.05; differences within "
        "±1 point do not matter.",
        "Planned rows: vanilla; agwm; mixout; lora.",
        "Planned seeds: 1, 2, 3, 4, 5 and 6.",
        "No departure: no row and no seed is marked as added after looking.",
    ):
        assert words in html
    assert any(note.startswith("Protocol: 4 rows") for note in make_tables(results)[0].notes)


def test_what_was_added_is_not_counted_as_planned(tmp_path: Path) -> None:
    protocol, rows, seeds, *departed = declarations(declaring(tmp_path).plan)
    assert "3 rows and 4 seeds planned (fewer seeds for 1 row)" in protocol, "agwm's seed 3 was added"
    assert "one look after 4 seeds" in protocol
    assert (rows, seeds) == ("Planned rows: vanilla; agwm; mixout.", "Planned seeds: 1, 2, 3 and 4.")
    assert len(departed) == 2
    assert "Seeds 5 and 6 of 6" in departed[0]
    assert "the row lora; seed 3 of agwm" in departed[1]


COMMITTED = [suite for suite in Layout().suites() if Layout().archive(suite).exists()]


@pytest.mark.skipif(not COMMITTED, reason="no records are committed")
@pytest.mark.parametrize("suite", COMMITTED)
def test_every_published_suite_has_a_protocol_in_words(suite: str) -> None:
    plan = read_plan(stored_plan(suite, Layout()), suite)
    protocol, *others = declarations(plan)
    assert re.match(r"Protocol: \d+ rows? and \d+ seeds? planned", protocol)
    assert plan.tuning_budget is not None or plan.runs_share_seeds or f"α = {plan.protocol.alpha:g}" in protocol
    for row in plan.methods:
        if row.exploratory or row.exploratory_seeds:
            assert any("Added after looking" in text and row.label in text for text in others)


def test_figures_say_what_was_added_after_looking(tmp_path: Path) -> None:
    results = declaring(tmp_path)
    draw_all(results, tmp_path / "figures", ("svg",))
    made = made_before(results, tmp_path / "figures")
    assert made
    for figure in made:
        assert "Seeds 5 and 6 of 6 were added after looking. Added after looking: the row lora" in figure.caption
    plain = load("toy", write(Records(gains={"agwm": 8.0, "lora": 8.0}, difference_sd=0.5), tmp_path / "plain"))
    assert made_before(plain, tmp_path / "figures") is None, "figures with another declaration are drawn again"


def test_the_answer_warns_of_a_row_added_after_looking(tmp_path: Path) -> None:
    results = declaring(tmp_path)
    assert "significantly better than vanilla: lora (added after looking)" in answer(results, "100")[2]


@pytest.mark.parametrize(
    ("added", "words"),
    [((5, 6), "Seeds 5 and 6 of 6 were"), ((4, 5, 6), "Seeds 4 to 6 of 6 were"), ((2, 4, 6), "Seeds 2, 4 and 6 of 6"),
     ((6,), "Seed 6 of 6 was added"), ((), "")],
)  # fmt: skip
def test_added_seeds_are_named_by_their_position(tmp_path: Path, added: tuple[int, ...], words: str) -> None:
    plan = load("toy", write(Records(), tmp_path)).plan.model_copy(update={"exploratory_seeds": added})
    assert seeds_sentence(plan).startswith(words)
    assert bool(seeds_sentence(plan)) == bool(words)
