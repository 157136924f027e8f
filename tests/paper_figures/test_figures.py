"""Figures: the numbers they draw, identical bytes when redrawn, none if there is nothing to draw; one run's search."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy
import pandas as pd
import pytest

from helpers import synthetic_records
from paper_figures.figures._searches import place
from paper_figures.figures.attention_over_runs import attention_over_runs
from paper_figures.figures.attention_shares import attention_shares
from paper_figures.figures.cost_against_score import pareto
from paper_figures.figures.critical_difference import critical_difference
from paper_figures.figures.forest import forest, forest_of_suites, span
from paper_figures.figures.one_search import NoSearch, make_one, search_of_run
from paper_figures.figures.score_against_size import score_against_size
from paper_figures.figures.search_losses import search_losses
from paper_figures.figures.strips import strips
from paper_figures.make import PER_SIZE, TOGETHER, drawings, made_before, make, make_together
from paper_figures.style import Drawing, looks, save, style
from results.analysis.claims import claims
from results.loading.frame import load, pack
from results.loading.layout import Layout

SUITE = synthetic_records.Suite(
    outcomes={("lora", "rte", 3): "diverged", ("mixout", "rte", 1): "oom"},
    left_out=(("mixout", "sst2", 2),),
    logits=("test", "dev"),
    predictions=True,
    searching=("agwm", "lora"),
)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return synthetic_records.write(SUITE, tmp_path_factory.mktemp("figures"))


@pytest.fixture(scope="module")
def files(layout: Layout) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in make("toy", layout)}


@pytest.fixture(scope="module")
def made(layout: Layout) -> dict[str, Drawing]:
    with style():
        return dict(drawings(load("toy", layout)))


def test_remade_figures_are_the_same_bytes(layout: Layout, files: dict[Path, bytes]) -> None:
    assert {path.suffix for path in files} == {".pdf", ".svg", ".png", ".csv", ".json"}
    assert {path: path.read_bytes() for path in make("toy", layout)} == files


def test_every_figure_has_its_numbers_title_and_caption(made: dict[str, Drawing]) -> None:
    assert set(made) == {f"{name}-n100" for name in PER_SIZE}
    for drawing in made.values():
        assert len(drawing.data) > 0
        assert drawing.title
        assert drawing.caption.endswith(".")


def test_strips_draw_every_scored_run_and_mark_the_failed_one(made: dict[str, Drawing]) -> None:
    drawing = made["strips-n100"]
    assert len(drawing.data) == 3 * 4 * 6 - 2
    panel = drawing.figure.axes[1]
    crosses = [line for line in panel.lines if line.get_marker() == "x" and len(line.get_xdata()) > 0]
    assert [line.get_xdata()[0] for line in crosses] == [pytest.approx(52.7)]
    assert [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()] == list(SUITE.methods)


def test_the_pareto_front_consists_of_undominated_points() -> None:
    assert pareto([1, 2, 3, 1], [50, 60, 60, 40]) == [True, True, False, False]
    assert pareto([1, 1], [50, 50]) == [True, True]


def test_methods_look_different_and_reference_and_focus_have_fixed_looks(layout: Layout) -> None:
    table = looks(load("toy", layout).plan)
    assert len({(look.colour, look.marker) for look in table.values()}) == len(table)
    assert (table["vanilla"].marker, table["agwm"].marker) == ("o", "*")


def test_figures_of_other_records_are_not_reused(tmp_path: Path) -> None:
    layout = synthetic_records.write(
        synthetic_records.Suite(tasks=("rte",), methods=("vanilla",), seeds=(1, 2)), tmp_path
    )
    make("toy", layout)
    folder = layout.figures("toy")
    assert made_before(load("toy", layout), folder)
    assert made_before(load("toy", layout, "best_dev"), folder) is None
    next(folder.glob("*.svg")).unlink()
    assert made_before(load("toy", layout), folder) is None


def test_without_runs_nothing_is_drawn(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte",), methods=("vanilla",), seeds=(1,), left_out=(("vanilla", "rte", 1),))
    files = make("toy", synthetic_records.write(suite, tmp_path))
    assert [file.name for file in files] == ["figures.json"]


def test_the_csv_of_a_figure_has_the_numbers_drawn(files: dict[Path, bytes]) -> None:
    path = next(path for path in files if path.name == "cost-against-score-n100.csv")
    table = pd.read_csv(path).set_index("label")
    assert table.loc["vanilla", "passes"] == 1
    assert table.loc["agwm", "passes"] == 2


def test_the_forest_draws_the_tested_differences_and_their_average(made: dict[str, Drawing]) -> None:
    data = made["forest-n100"].data
    assert set(data["task"]) == {*SUITE.tasks, "average"}
    cell = data[(data["task"] == "cola") & (data["label"] == "agwm")].iloc[0]
    own, its = (
        [synthetic_records.score(SUITE, label, "cola", 100, s) for s in SUITE.seeds] for label in ("agwm", "vanilla")
    )
    gaps = [a - b for a, b in zip(own, its, strict=True)]
    assert cell["difference"] == pytest.approx(sum(gaps) / len(gaps))
    per_task = data[(data["label"] == "agwm") & (data["task"] != "average")]["difference"]
    average = data[(data["label"] == "agwm") & (data["task"] == "average")]["difference"].iloc[0]
    assert average == pytest.approx(per_task.mean())


def test_ranks_are_of_the_task_means_and_bars_join_methods_without_a_difference(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(
        seeds=tuple(range(8)), gains={"agwm": 15.0, "lora": -15.0}, difference_sd=0.5, seed_sd=0.1
    )
    with style():
        drawing = critical_difference(load("toy", synthetic_records.write(suite, tmp_path)), "100")
    assert drawing
    data = drawing.data
    ranks = data.set_index("label")["mean_rank"]
    assert (ranks["agwm"], ranks["lora"]) == (1, 4)
    bars = data.set_index("label")["bars"]
    assert (bars["agwm"], bars["lora"]) == ("", "")
    assert bars["vanilla"] == bars["mixout"]


def test_scores_are_drawn_against_sizes_when_there_are_several(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte",), sizes=(100, 300), seeds=(1, 2, 3))
    with style():
        drawing = score_against_size(load("toy", synthetic_records.write(suite, tmp_path)))
    assert drawing
    assert drawing.data.groupby("label")["n_train"].apply(list).to_dict() == dict.fromkeys(suite.methods, [100, 300])
    assert drawing.figure.axes[0].get_xscale() == "log"


def test_a_label_with_dollar_signs_is_not_a_formula(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte",), methods=("vanilla", "$x_1$ & co", "a_b^c$"), seeds=(1, 2, 3))
    with style():
        drawing = strips(load("toy", synthetic_records.write(suite, tmp_path)), "100")
        assert drawing
        save(drawing, "strips", tmp_path)
    assert "$x_1$ &amp; co" in (tmp_path / "strips.svg").read_text()


def test_shares_are_means_over_splits_and_seeds_placed_by_layer_and_kind(made: dict[str, Drawing]) -> None:
    data = made["attention-shares-n100"].data
    assert place("roberta.encoder.layer.11.attention.self.query") == ("11", "attention.query")
    assert place("classifier.dense") == ("outside", "classifier")
    assert place("bert.encoder.layer.0.attention.output.dense") != place("bert.encoder.layer.0.output.dense")
    assert len(data) == 3 * 7
    last = data[(data["task"] == "rte") & (data["module"] == "bert.pooler.dense")].iloc[0]
    noted = [synthetic_records.search("agwm", "rte", seed) for seed in SUITE.seeds]
    for name in ("task_share", "pretrained_share"):
        expected = numpy.mean([arrays[f"diagnostics/search/{name}"][:, -1, -1] for arrays in noted])
        assert last[name] == pytest.approx(expected)
    panels = made["attention-shares-n100"].figure.axes
    assert [panel.get_title() for panel in panels[:2]] == ["CoLA: 1 − A", "CoLA: B"]


def test_losses_of_a_search_are_drawn_at_their_iterations(made: dict[str, Drawing]) -> None:
    data = made["search-losses-n100"].data
    upper = data[(data["level"] == "upper_loss") & (data["task"] == "rte") & (data["seed"] == 1)]
    assert upper["iteration"].tolist() == [1, 3, 5, 7, 9, 11]
    expected = synthetic_records.search("agwm", "rte", 1)["diagnostics/search/upper_loss"].mean(axis=0)
    assert upper["loss"].tolist() == pytest.approx(expected)


def test_every_run_that_searched_has_its_attention(made: dict[str, Drawing]) -> None:
    data = made["attention-over-runs-n100"].data
    assert data["label"].value_counts().to_dict() == {"agwm": 18, "lora": 17}  # One run of lora diverged.
    assert (data["lowest"] < data["tenth"]).all()
    assert (data["tenth"] < data["mean"]).all()


def test_damaged_arrays_are_not_drawn_and_break_nothing(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte",), methods=("vanilla", "agwm"), predictions=True, searching=("agwm",))
    layout = synthetic_records.write(suite, tmp_path)
    for file in (layout.records / "toy").glob("*.npz"):
        file.write_bytes(file.read_bytes()[:300])
    with style():
        assert attention_over_runs(load("toy", layout), "100") is None
        assert attention_shares(load("toy", layout), "100") is None
        assert search_losses(load("toy", layout), "100") is None


def test_intervals_off_the_axis_are_cut_and_the_caption_says_so(tmp_path: Path) -> None:
    few = load(
        "toy", synthetic_records.write(synthetic_records.Suite(seeds=(1, 2), difference_sd=40.0), tmp_path / "few")
    )
    many = load("toy", synthetic_records.write(synthetic_records.Suite(seeds=tuple(range(12))), tmp_path / "many"))
    with style():
        for draw, words in ((strips, "leave a panel are cut off"), (forest, "an arrow at the edge")):
            cut, whole = draw(few, "100"), draw(many, "100")
            assert cut is not None
            assert whole is not None
            assert words in cut.caption
            assert words not in whole.caption


def intervals(*differences: float) -> pd.DataFrame:
    return pd.DataFrame([{"difference": d, "low": d - 1.0, "high": d + 1.0} for d in differences])


def test_a_single_far_off_row_does_not_widen_the_axis_of_a_forest() -> None:
    near = [0.2 * i - 1.0 for i in range(11)]
    low, high = span(intervals(*near), margin=1.0)
    assert low < -2.0 < 2.0 < high
    far_low, far_high = span(intervals(*near, -40.0), margin=1.0)
    assert low <= far_low < far_high <= high


def test_the_axis_of_a_forest_spans_all_intervals_if_none_is_far_off() -> None:
    low, high = span(intervals(-2.0, -1.0, 0.5, 2.5), margin=1.0)
    assert low < -3.0
    assert high > 3.5


def test_the_axis_of_a_forest_spans_the_margin_if_no_interval_is_known() -> None:
    nothing = pd.DataFrame({"difference": [numpy.nan], "low": [numpy.nan], "high": [numpy.nan]})
    low, high = span(nothing, margin=1.0)
    assert low < -1.0 < 1.0 < high


def test_equal_scores_can_be_drawn(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(methods=("vanilla",), tasks=("rte",), seeds=(1,))
    with style():
        assert strips(load("toy", synthetic_records.write(suite, tmp_path)), "100") is not None


def test_suites_are_drawn_together_once_all_have_records(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    gains = {"agwm": 3.0, "mixout": 2.0, "lora": -5.0}
    small = synthetic_records.Suite(name="small", gains=gains)
    large = synthetic_records.Suite(name="large", gains=gains, tasks=("rte", "sst2"), encoder="mpnet-base",
                                    methods=("vanilla", "agwm", "lora", "mixout", "r3f"))  # fmt: skip
    synthetic_records.write(small, tmp_path)
    pack("small", layout)
    assert make_together(("small", "large"), layout) == []
    one_seed = replace(large, left_out=tuple((row, "rte", seed) for row in large.methods for seed in large.seeds[1:]))
    synthetic_records.write(one_seed, tmp_path)
    pack("large", layout)
    assert make_together(("small", "large"), layout) == [], "there is no average to draw"
    shutil.rmtree(layout.records / "large")
    synthetic_records.write(large, tmp_path)
    pack("large", layout)
    files = make_together(("small", "large"), layout)
    assert {file.name for file in files} >= {"forest.png", "forest.csv", "figures.json"}
    data = pd.read_csv(layout.figures(TOGETHER) / "forest.csv")
    assert list(dict.fromkeys(data["suite"])) == ["small", "large"]
    assert set(data["label"]) == {"agwm", "mixout", "lora"}, "r3f is in one suite only"
    for name in ("small", "large"):
        results = load(name, layout)
        averages = data[(data["suite"] == name) & (data["task"] == "average")].set_index("label")
        for label, claim in claims(results, "100", "vanilla").items():
            if label in averages.index:
                own = averages.loc[label]
                expected = (claim.difference, claim.low, claim.high, claim.p_holm)
                assert own[["difference", "low", "high", "p_holm"]].to_numpy(float) == pytest.approx(expected)


def test_the_figure_of_several_suites_has_the_focus_and_the_strongest_rows(tmp_path: Path) -> None:
    gains = {label: 10.0 * place for place, label in enumerate(synthetic_records.METHODS)} | {"agwm": -30.0}
    many = synthetic_records.Suite(methods=synthetic_records.METHODS, gains=gains, difference_sd=0.1)
    results = load("toy", synthetic_records.write(many, tmp_path))
    with style():
        drawing = forest_of_suites([results, results])
    assert drawing is not None
    assert set(drawing.data["label"]) == {"agwm", *synthetic_records.METHODS[-4:]}
    assert "(5 of 7 that all suites have)" in drawing.caption
    assert len(drawing.figure.axes) == 2 * 4


SEARCHED = synthetic_records.Suite(
    tasks=("rte",), methods=("vanilla", "agwm"), seeds=(1, 2), predictions=True, searching=("agwm",)
)


@pytest.fixture
def searched(tmp_path: Path) -> Layout:
    return synthetic_records.write(SEARCHED, tmp_path)


def test_one_run_is_drawn_with_its_own_numbers(searched: Layout) -> None:
    noted = synthetic_records.search("agwm", "rte", 2)
    with style():
        drawing = search_of_run(load("toy", searched), "100", "agwm", "rte", 2)
    data = drawing.data
    assert data["B"].to_numpy() == pytest.approx(noted["diagnostics/search/pretrained_share"][:, -1].mean(axis=0))
    assert data["1 − A"].to_numpy() == pytest.approx(1 - noted["diagnostics/search/task_share"][:, -1].mean(axis=0))
    assert data["decile 0"].to_numpy() == pytest.approx(
        noted["diagnostics/search/attention_deciles"][:, -1, :, 0].mean(axis=0)
    )
    titles = [axes.get_title() for axes in drawing.figure.axes[:4]]
    assert titles == ["1 − A", "B", "Losses", "Attention factors"]
    lower, upper = drawing.figure.axes[2].lines
    assert numpy.asarray(upper.get_xdata()).tolist() == [1, 3, 5, 7, 9, 11]
    assert lower.get_ydata() == pytest.approx(noted["diagnostics/search/lower_loss"].mean(axis=0))


def test_its_files_are_named_after_the_run(searched: Layout) -> None:
    files = make_one("toy", searched, "agwm/rte/1")
    assert {file.name for file in files} == {f"search-agwm-rte-1-n100.{end}" for end in ("pdf", "svg", "png", "csv")}
    assert all(file.stat().st_size > 500 for file in files)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("vanilla/rte/1", "there are: agwm/rte/1, agwm/rte/2"),
        ("agwm/rte/3", "no search of agwm/rte/3"),
        ("agwm/rte", "give a run as label/task/seed"),
        ("agwm/rte/one", "give a run as"),
    ],
)
def test_a_run_without_a_search_is_refused(searched: Layout, run: str, words: str) -> None:
    with pytest.raises(NoSearch, match=words):
        make_one("toy", searched, run)
