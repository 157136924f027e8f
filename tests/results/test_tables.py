"""Tables: the content of cells, ranks, possible marks, and renderings that equal the golden ones."""

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from rich.console import Console

from amix.specs.run_plan import PlanError
from helpers import golden_tables, synthetic_records
from helpers.golden_tables import TEXTS
from results.loading.frame import load, pack
from results.loading.wording import p_text
from results.tabulating import render
from results.tabulating.collect import collect, make_tables
from results.tabulating.encoders import encoders_table
from results.tabulating.published import published
from results.tabulating.table import BEST, P_VALUE, SECOND, Cell, Column, Table, number_text, rank_column


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_renderings_equal_the_golden_ones(name: str, pytestconfig: pytest.Config) -> None:
    golden = golden_tables.FOLDER / name
    if pytestconfig.getoption("--write-tables"):
        golden.write_text(TEXTS[name](), encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == TEXTS[name](), "intended? then pytest --write-tables"


@pytest.mark.parametrize("name", sorted(name for name in TEXTS if name.endswith(".tex")))
def test_latex_is_balanced(name: str) -> None:
    bare = re.sub(r"\\[{}&%$#_]", "", TEXTS[name]())
    depth = 0
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", bare) for word in ("begin", "end"))
    assert sorted(begun) == sorted(ended)
    for tabular in re.findall(r"\\begin{tabular}(.*?)\\end{tabular}", bare, re.DOTALL):
        columns = len(re.match(r"{((?:l|r|p{11em})+)}", tabular)[1].replace("{11em}", ""))  # type: ignore[index]
        for row in re.search(r"\\toprule(.*)\\bottomrule", tabular, re.DOTALL)[1].splitlines():  # type: ignore[index]
            if row.endswith(r"\\"):
                spans = [int(width) for width in re.findall(r"\\multicolumn{(\d+)}", row)]
                assert row.count("&") + 1 + sum(spans) - len(spans) == columns


def test_latex_compiles(tmp_path: Path) -> None:
    compiler = shutil.which("tectonic") or shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("neither tectonic nor pdflatex is installed")
    body = "\n".join(text() for name, text in TEXTS.items() if name.endswith(".tex"))
    source = r"\documentclass{article}\usepackage{booktabs,graphicx}\usepackage[utf8]{inputenc}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{source}\n{body}\n\\end{{document}}\n")
    options = [] if compiler.endswith("tectonic") else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([compiler, *options, "all.tex"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").exists()
    assert "Overfull \\hbox" not in done.stdout, "a table is wider than the page"


def test_a_csv_reads_back_as_the_same_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(TEXTS["tables.csv"]())))
    assert [row["Method"] for row in rows] == ["Majority", "child_tuning", "<script>alert(1)</script>", "a|b"]
    assert rows[1]["Group & one A_1 F1 std"] == "0.5"
    assert {row["note"] for row in rows} == {"for trying, not evidence"}


def test_the_terminal_shows_every_cell_and_footnote() -> None:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render.terminal(golden_tables.SPECIAL))
    text = console.export_text()
    for part in ("81.2 ± 0.5 (4)*†", "<script>alert(1)</script>", "for trying, not evidence", "c 50 %", "– [b]"):
        assert part in text


def test_values_equal_at_printed_precision_share_a_rank() -> None:
    cells = [Cell(90.0), Cell(81.24), Cell(81.16), Cell(None), Cell(79.9), Cell("text"), Cell(80.0)]
    ranked = rank_column(cells, ".1f", [False] + [True] * 6)
    assert [cell.rank for cell in ranked] == [0, BEST, BEST, 0, 0, 0, SECOND]


def test_a_single_value_is_not_the_best_of_anything() -> None:
    assert [cell.rank for cell in rank_column([Cell(50.0), Cell(80.0), Cell(None)], ".1f", [False, True, True])] == [
        0
    ] * 3


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [(-0.04, ".1f", "0.0"), (0.04, "+.1f", "0.0"), (-1.25, "+.1f", "-1.2"), (12345.6, ",.0f", "12,346")],
)
def test_zero_has_no_sign(value: float, spec: str, text: str) -> None:
    assert number_text(value, spec) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0504, "0.0504"), (0.0496, "0.05"), (0.05, "0.05"), (0.051, "0.051"), (0.00004, "<0.0001"), (1.0, "1")],
)
def test_a_p_above_the_usual_level_does_not_look_as_if_it_reached_it(p: float, text: str) -> None:
    assert number_text(p, P_VALUE) == text
    assert p_text(p).split(" ", 1)[1].replace("= ", "").replace("< ", "<") == text


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="row 0 has 1 cells for 2 columns"):
        Table("t", "t", "", (Column("a"), Column("b")), ((Cell(1.0),),))


def test_the_main_table_has_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    suite = synthetic_records.Suite()
    table = make_tables(load("toy", synthetic_records.write(suite, tmp_path)))[0]
    row = next(row for row in table.rows if row[0].value == "agwm")
    scores = [[synthetic_records.score(suite, "agwm", task, 100, seed) for task in suite.tasks] for seed in suite.seeds]
    cell = row[1]
    assert cell.value == pytest.approx(numpy.mean(scores, axis=0)[0])
    assert cell.spread == pytest.approx(numpy.std(scores, axis=0, ddof=1)[0])
    average = row[4]
    assert average.value == pytest.approx(numpy.mean(scores))
    assert average.spread == pytest.approx(numpy.std(numpy.mean(scores, axis=1), ddof=1))


def test_rows_planned_with_fewer_seeds_are_not_ranked(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(methods=("vanilla", "mixout", "r3f"), gains={"mixout": 20.0})
    results = load(suite.name, synthetic_records.write(suite, tmp_path))
    few = results.runs["label"].eq("mixout") & ~results.runs["seed"].isin(suite.seeds[:2])
    fewer = replace(results, runs=results.runs[~few], cache={})
    size = results.plan.sizes[0]
    ranks = []
    for result in (results, fewer):
        table = next(table for table in make_tables(result) if table.name == f"main-n{size}")
        ranks.append({row[0].value: row[1].rank for row in table.rows})
        assert ("they are not ranked" in table.caption) == (result is fewer)
    assert ranks[0]["mixout"] == BEST
    assert ranks[1]["mixout"] == 0
    assert BEST in (ranks[1]["vanilla"], ranks[1]["r3f"])


def test_a_clear_gain_is_marked_and_a_loss_too(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(seeds=tuple(range(9)), gains={"agwm": 9.0, "lora": -9.0}, difference_sd=0.3)
    table = make_tables(load("toy", synthetic_records.write(suite, tmp_path)))[0]
    marks = {row[0].value: [cell.marks for cell in row[1:5]] for row in table.rows}
    assert marks["agwm"] == ["*"] * 4
    assert marks["lora"] == ["*†"] * 4
    assert set(marks["mixout"]) <= {"†", "*†"}
    assert marks["Majority class"] == [""] * 4


def test_the_main_table_says_when_there_are_too_few_seeds(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(seeds=(1, 2, 3, 4, 5), gains={"agwm": 20.0})
    table = make_tables(load("toy", synthetic_records.write(suite, tmp_path)))[0]
    assert not any(cell.marks for row in table.rows for cell in row[1:4])
    assert "with n = 5 seeds the smallest possible p of the exact test is 0.0625" in table.notes[0]
    assert "needs at least 7 seeds" in table.notes[0]


def test_collect_writes_every_format_and_reports_what_it_left_out(tmp_path: Path) -> None:
    layout = synthetic_records.write(synthetic_records.Suite(note="for trying, not evidence"), tmp_path)
    (layout.records / "toy" / ("0" * 64 + ".json")).write_text("{")
    collected = collect("toy", layout)
    assert {file.name for file in collected.files} >= {f"main-n100.{suffix}" for suffix in ("md", "tex", "csv", "html")}
    assert [problem.source for problem in collected.problems] == ["0" * 64 + ".json"]
    for file in collected.files:
        assert "for trying, not evidence" in file.read_text()
    before = {file: file.read_bytes() for file in collected.files}
    assert {file: file.read_bytes() for file in collect("toy", layout).files} == before


@pytest.mark.parametrize("name", sorted(golden_tables.SUITES))
def test_no_two_columns_of_a_csv_share_a_name(name: str) -> None:
    for table in golden_tables.suite_tables(name).values():
        header = next(csv.reader(io.StringIO(render.csv_text(table))))
        assert len(header) == len(set(header))


def test_a_method_that_lacks_a_task_is_left_out_of_claims_and_named() -> None:
    table = golden_tables.suite_tables("failures")["against-vanilla-n100"]
    assert [row[0].value for row in table.rows] == ["agwm", "r&d"]
    assert table.notes[0] == "Left out, without two paired seeds on every task: child_tuning."


def test_failed_and_collapsed_runs_are_counted(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(
        gains={"lora": -60.0},
        outcomes={("mixout", "rte", 1): "failed", ("mixout", "rte", 2): "diverged", ("mixout", "cola", 1): "oom"},
    )
    table = next(
        t for t in make_tables(load("toy", synthetic_records.write(suite, tmp_path))) if t.name == "stability-n100"
    )
    rows = {row[0].value: [cell.value for cell in row[-4:-1]] for row in table.rows}
    assert rows["vanilla"] == [0.0, "0/18", "0–18 %"]
    assert rows["mixout"][:2] == [2.0, "2/17"]
    assert rows["lora"][:2] == [0.0, "18/18"]


def test_intervals_over_test_examples_surround_the_difference_of_the_stored_predictions(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte", "sst2"), methods=("vanilla", "agwm", "lora"), predictions=True,
                            outcomes={("lora", "rte", 2): "failed"})  # fmt: skip
    tables = {table.name: table for table in make_tables(load("toy", synthetic_records.write(suite, tmp_path)))}
    rows = {row[0].value: [cell.value for cell in row[1:]] for row in tables["test-sets-n100"].rows}
    assert set(rows) == {"agwm", "lora"}
    difference, low, high = rows["agwm"][:3]
    right = {}
    for method in ("agwm", "vanilla"):
        stored = [synthetic_records.arrays(suite, method, "rte", seed) for seed in suite.seeds]
        right[method] = numpy.mean([arrays["test_predictions"] == arrays["test_labels"] for arrays in stored])
    assert difference == pytest.approx(100 * (right["agwm"] - right["vanilla"]))
    assert low < difference < high
    assert rows["agwm"][6] == pytest.approx((rows["agwm"][0] + rows["agwm"][3]) / 2)
    # A failed run has no predictions, so there is no interval for its task or the average.
    assert rows["lora"][:3] == [None] * 3 == rows["lora"][6:]
    assert rows["lora"][3] is not None


def test_published_scores_are_read_under_our_names() -> None:
    scores = published()
    assert {score.size for score in scores} == {"16", "40", "300", "1000", "full"}
    wanted = ("RTE", "vanilla", "bert-large", "Revisiting")
    result = [s for s in scores if (s.task, s.method, s.encoder, s.paper.split()[0]) == wanted]
    assert {(score.size, score.mean, score.std, score.n) for score in result} == {
        ("full", 69.5, 2.5, 20),
        ("1000", 62.5, 2.8, 20),
    }
    # The launcher of this paper prints numpy.std of ten seeds: 0.93 becomes 0.93 x sqrt(10 / 9).
    own = next(score for score in scores if score.paper.startswith("AGWM") and score.method == "agwm" and score.std)
    assert own.std == pytest.approx(0.93 * (10 / 9) ** 0.5)


def test_a_published_average_is_compared_with_the_average_of_the_same_tasks(tmp_path: Path) -> None:
    tasks = ("cola", "rte", "mrpc", "stsb")
    suite = synthetic_records.Suite(tasks=tasks, sizes=(None,), encoder="bert-large", methods=("vanilla", "agwm"))
    table = next(t for t in make_tables(load("toy", synthetic_records.write(suite, tmp_path))) if t.name == "published")
    row = next(row for row in table.rows if row[0].value == "agwm" and str(row[10].value).startswith("AGWM"))
    scores = [[synthetic_records.score(suite, "agwm", task, None, seed) for task in tasks] for seed in suite.seeds]
    assert row[3].value == pytest.approx(numpy.mean(scores))
    assert row[4].value == 80.42
    assert row[4].spread == pytest.approx(0.93 * (10 / 9) ** 0.5)


def test_a_published_size_is_that_of_its_task_where_sizes_differ_by_task(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte", "mrpc"), sizes=(300, 1000), encoder="bert-large")
    layout = synthetic_records.write(suite, tmp_path)
    own = {"rte": 1000, "mrpc": 300}
    plan = json.loads(layout.plan("toy").read_text())
    plan |= {"sizes": [own], "runs": [run for run in plan["runs"] if run["n_train"] == own[run["task"]]]}
    layout.plan("toy").write_text(json.dumps(plan))
    table = next(t for t in make_tables(load("toy", layout)) if t.name == "published")
    found = {(row[1].value, row[2].value): row for row in table.rows if row[0].value == "vanilla"}
    assert set(found) == {("RTE", "1000")}, "MRPC's published scores are of 1000 examples, too"
    scores = [synthetic_records.score(suite, "vanilla", "rte", 1000, seed) for seed in suite.seeds]
    assert found["RTE", "1000"][3].value == pytest.approx(numpy.mean(scores))


def test_published_scores_of_another_encoder_are_not_compared(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte", "mrpc"), sizes=(1000,))
    assert "published" not in {t.name for t in make_tables(load("toy", synthetic_records.write(suite, tmp_path)))}


def test_variants_of_the_focus_method_are_named_by_what_they_change(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(
        tasks=("rte", "sst2"),
        methods=("vanilla", "agwm", "weak", "both off"),
        settings={"weak": {"strength": 0.1}, "both off": {"strength": 0.0, "extra": False}},
        gains={"agwm": 2.0, "weak": -8.0},
        seeds=tuple(range(8)),
    )
    tables = {table.name: table for table in make_tables(load("toy", synthetic_records.write(suite, tmp_path)))}
    table = tables["ablation-n100"]
    assert [(row[0].value, row[1].value) for row in table.rows] == [
        ("weak", "strength = 0.1"),
        ("both off", "strength = 0, extra = False"),
    ]
    scores = {
        label: numpy.mean(
            [[synthetic_records.score(suite, label, task, 100, seed) for task in suite.tasks] for seed in range(8)]
        )
        for label in ("agwm", "weak")
    }
    average = table.rows[0][4]
    assert average.value == pytest.approx(scores["weak"] - scores["agwm"])
    assert average.marks == "*"
    assert table.rows[0][2].marks == "*"


def test_methods_are_ordered_by_what_they_train(tmp_path: Path) -> None:
    tables = {
        table.name: table
        for table in make_tables(load("toy", synthetic_records.write(synthetic_records.Suite(), tmp_path)))
    }
    table = tables["parameter-efficient-n100"]
    assert [row[0].value for row in table.rows] == ["lora", "mixout", "agwm", "vanilla"]
    assert table.rows[0][1].value == pytest.approx(100 * (11 // 4 * 1e6 + 750_000) / 22e6)
    assert table.rows[-1][5].missing


def test_encoders_are_compared_side_by_side_if_the_suites_are_alike(tmp_path: Path) -> None:
    small = synthetic_records.Suite(
        name="small", methods=("vanilla", "agwm"), seeds=tuple(range(8)), gains={"agwm": 9.0}
    )
    large = synthetic_records.Suite(name="large", encoder="bert-large", seeds=(1, 2, 3))
    other = synthetic_records.Suite(name="other", tasks=("rte",))
    results = [load(suite.name, synthetic_records.write(suite, tmp_path)) for suite in (small, large, other)]
    table = encoders_table(results[:2], "100")
    assert table.notes[0] == "Made by: python -m runners encoders table small large --size 100"
    rows = list(csv.DictReader(render.csv_text(table).splitlines()))
    assert [row["Method"] for row in rows] == ["vanilla", "agwm", "mixout", "lora"]
    scores = [synthetic_records.score(small, "agwm", task, 100, seed) for task in small.tasks for seed in small.seeds]
    assert float(rows[1]["minilm-l6 Average of tasks"]) == pytest.approx(numpy.mean(scores))
    assert rows[1]["minilm-l6 Gain points marks"] == "*"
    assert rows[2]["minilm-l6 Average of tasks"] == ""
    assert rows[2]["bert-large Average of tasks"]
    with pytest.raises(PlanError, match="'small' and 'other' cannot be in one table"):
        encoders_table([results[0], results[2]], "100")


def test_the_order_in_which_runs_finish_does_not_change_a_byte(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(
        outcomes={("lora", "rte", 3): "diverged", ("mixout", "rte", 1): "oom"}, predictions=True
    )
    layouts = [synthetic_records.write(suite, tmp_path / name) for name in ("planned", "shuffled")]
    folder = layouts[1].records / suite.name
    files = {path: path.read_bytes() for path in sorted(folder.glob("*")) if path.name != "plan.json"}
    for path in files:
        path.unlink()
    for number in numpy.random.default_rng(0).permutation(len(files)):
        path = list(files)[number]
        path.write_bytes(files[path])
    made = [{path.name: path.read_bytes() for path in collect(suite.name, layout).files} for layout in layouts]
    assert made[0] == made[1]
    assert pack(suite.name, layouts[0]).read_bytes() == pack(suite.name, layouts[1]).read_bytes()


def test_tables_under_another_selection_rule_do_not_overwrite_the_protocols(tmp_path: Path) -> None:
    layout = synthetic_records.write(synthetic_records.Suite(), tmp_path)
    first = {path: path.read_bytes() for path in collect("toy", layout).files}
    second = collect("toy", layout, "best_dev").files
    assert not set(first) & set(second)
    assert {path: path.read_bytes() for path in first} == first
    main_table = layout.tables("toy") / "main-n100-best-dev.md"
    assert main_table in second
    assert "selection: the epoch best on dev" in main_table.read_text()
    assert "collect --suite toy --selection best\\_dev" in main_table.read_text()


def test_a_method_that_is_not_defined_for_a_task_has_a_footnote(tmp_path: Path) -> None:
    layout = synthetic_records.write(synthetic_records.Suite(), tmp_path)
    plan = json.loads(layout.plan("toy").read_text())
    plan["runs"] = [run for run in plan["runs"] if (run["label"], run["task"]) != ("lora", "rte")]
    layout.plan("toy").write_text(json.dumps(plan))
    table = next(table for table in make_tables(load("toy", layout)) if table.name == "main-n100")
    (row,) = (row for row in table.rows if row[0].value == "lora")
    assert row[2].missing
    assert row[2].notes == ("not defined for regression",)


@pytest.mark.parametrize(("seeds", "bounded"), [((1, 2), True), (tuple(range(8)), False)])
def test_a_detectable_difference_beyond_the_range_of_scores_is_a_bound(
    tmp_path: Path, seeds: tuple[int, ...], bounded: bool
) -> None:
    layout = synthetic_records.write(synthetic_records.Suite(seeds=seeds, difference_sd=9.0), tmp_path)
    tables = {table.name: render.csv_text(table) for table in make_tables(load("toy", layout))}
    assert (">100" in tables["main-n100"]) == bounded
    assert (">100" in tables["against-vanilla-n100"]) == bounded
