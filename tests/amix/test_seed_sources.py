"""Seeds by source: the seed of a source changes only its own stream; keys of runs with one seed stay the same."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

import amix.data.encoded
import amix.runs.execute
import amix.training.fit
import amix.training.loop
from amix import random_streams
from amix.data.encoded import Batch
from amix.models.loading import load_model
from amix.runs.context import RunContext
from amix.runs.execute import _new_model, _set_up, execute
from amix.specs.recipe import Recipe
from amix.specs.run_plan import read_plan
from amix.specs.run_spec import RunSpec
from amix.specs.seed_sources import SOURCES, Seeds, combined
from amix.training.fit import Fit
from amix.training.method import Method
from amix.training.registry import find_method
from amix.training.settings import full_settings, make_config
from helpers.toy_suite import save_encoder, write_suite
from results.loading.archive import stored_records
from results.loading.layout import Layout
from runners.planning.described import SHARED_SEEDS_NOTE
from runners.planning.overrides import with_choices
from runners.planning.plan import make_plan
from runners.planning.suite import Suite, SuiteError, read_suite
from tests.amix.test_stage_workers import Here

METHODS: dict[str, dict[str, Any]] = {
    "vanilla": {},
    "mixout": {},
    "agwm": {"splits": 2, "search_epochs": 1, "attention": "random_walk"},
    "childtuning_d": {},
}
OWN_DRAWS = ("mixout", "agwm")
"""Methods with random draws of their own, so that the seed of this source matters."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "small")


def spec(encoder: Path, method: str, sources: dict[str, int] | None = None) -> RunSpec:
    recipe = Recipe(lr=5e-3, epochs=2, batch_size=8, max_length=16)
    return RunSpec(
        task="mini-cola", n_train=24, seed=7, method=method, encoder=encoder.name, training=recipe.as_dict(),
        method_config=full_settings(find_method(method), METHODS[method]), seed_sources=sources or {},
    )  # fmt: skip


def sha(*tensors: torch.Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def streams(one: RunSpec, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each source gave in a whole run: ids, head, positions of all batches, states before each step, own draws."""
    found: dict[str, Any] = {"order": [], "dropout": [], "method": []}

    def noting_load(name: str, *arguments: Any) -> nn.Module:
        model = load_model(name, *arguments)
        found["head"] = sha(*(tensor for name, tensor in model.state_dict().items() if "classifier" in name))
        return model

    batches = amix.data.encoded.training_batches

    def noting_batches(data: Any, *arguments: Any) -> Any:
        for positions in batches(data, *arguments):
            found["order"].append(positions.tolist())
            yield positions

    dropout = random_streams.seed_dropout

    def noting_dropout(*arguments: Any) -> None:
        dropout(*arguments)
        found["dropout"].append(sha(torch.random.get_rng_state()))

    derive = random_streams.derive

    def noting_derive(seed: int, *purpose: str | int) -> int:
        value = derive(seed, *purpose)
        if purpose[0] not in ("subset", "head", "order", "dropout"):
            found["method"].append((purpose, value))
        return value

    with monkeypatch.context() as patched:
        patched.setattr(amix.runs.execute, "load_model", noting_load)
        patched.setattr(amix.training.fit, "training_batches", noting_batches)
        patched.setattr(amix.training.loop, "seed_dropout", noting_dropout)
        patched.setattr("baselines.subnetwork.childtuning.seed_dropout", noting_dropout)
        patched.setattr(random_streams, "derive", noting_derive)
        record, arrays = execute(one, RunContext(encoder=str(encoder)))
    assert record["status"] == "ok", record["error"]
    found["subset"] = record["data"]["ids_sha256"]
    found["logits"] = arrays["test_logits"].tobytes()
    # Batches are sorted by length, so equal permutations of other texts are divided differently.
    found["permutation"] = [
        random_streams.array_generator(one.seeds.order, "order", "main", epoch).permutation(24).tolist()
        for epoch in range(2)
    ]
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", SOURCES)
def test_the_seed_of_a_source_affects_no_other_source(
    encoder: Path, monkeypatch: pytest.MonkeyPatch, method: str, source: str
) -> None:
    before = streams(spec(encoder, method), encoder, monkeypatch)
    after = streams(spec(encoder, method, {source: 1234}), encoder, monkeypatch)
    moved = {name for name in SOURCES if before[name] != after[name]}
    if source == "subset":
        moved -= {"order"}  # Batches depend on the texts' lengths; the permutation below stays.
    if source == "method" and method not in OWN_DRAWS:
        assert before == after
        return
    if source == "method":
        moved -= {"order"}  # The splits contain other examples, with other lengths.
    assert moved == {source}
    assert (before["permutation"] != after["permutation"]) == (source == "order")
    assert before["logits"] != after["logits"]


def test_order_is_the_same_permutation_for_texts_of_equal_lengths(encoder: Path) -> None:
    """With texts of equal length the batches do not depend on the subset."""
    _, _, fit = _set_up(spec(encoder, "vanilla"), RunContext(encoder=str(encoder)))
    fit = replace(fit, train=replace(fit.train, lengths=torch.full_like(fit.train.lengths, 3)))
    seen = []
    for sources in (dict[str, int](), {"subset": 5, "head": 6, "dropout": 7}, {"order": 8}):
        batches: list[Batch] = list(replace(fit, sources=asdict(Seeds.of(fit.seed, sources))).batches(0))
        seen.append(torch.cat([batch["input_ids"][:, :3] for batch in batches]))
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


@pytest.mark.parametrize("method", METHODS)
def test_naming_all_sources_with_one_seed_gives_the_run_of_that_seed(encoder: Path, method: str) -> None:
    plain = execute(spec(encoder, method), RunContext(encoder=str(encoder)))
    named = replace(spec(encoder, method, dict.fromkeys(SOURCES, 7)), seed=99)
    record, arrays = execute(named, RunContext(encoder=str(encoder)))
    assert record["scores"] == plain[0]["scores"]
    assert record["curve"] == plain[0]["curve"]
    assert arrays.keys() == plain[1].keys()
    assert all(numpy.array_equal(arrays[name], plain[1][name]) for name in arrays)


def test_stages_in_other_processes_have_the_run_s_seeds(encoder: Path) -> None:
    one = spec(encoder, "agwm", dict(zip(SOURCES, (1, 2, 3, 4, 5), strict=True)))
    executor = Here()
    apart, arrays = execute(one, RunContext(encoder=str(encoder), executor=executor))
    assert apart["status"] == "ok", apart["error"]
    assert executor.done == 2
    together, expected = execute(one, RunContext(encoder=str(encoder)))
    assert apart["curve"] == together["curve"]
    assert all(numpy.array_equal(arrays[name], expected[name]) for name in expected)


def test_a_fit_without_sources_has_one_seed_for_all(encoder: Path) -> None:
    context = RunContext(encoder=str(encoder))
    method, _, fit = _set_up(spec(encoder, "vanilla", {"order": 3}), context)
    assert isinstance(method, Method)
    assert fit.seeds == Seeds(7, 7, 3, 7, 7)
    by_hand = Fit(fit.task, fit.recipe, 11, fit.train, fit.dev)
    assert by_hand.seeds == Seeds(11, 11, 11, 11, 11)
    assert by_hand.for_stage("search-0").seeds == by_hand.seeds
    assert isinstance(_new_model(spec(encoder, "vanilla"), context, method, fit), nn.Module)


def test_committed_keys_are_those_of_their_specs() -> None:
    layout = Layout()
    suites = sorted(path.stem for path in layout.records.glob("*.parquet"))
    checked = 0
    for suite in suites:
        for one in stored_records(suite, layout)[0]:
            record = json.loads(one.text)
            assert RunSpec(**record["spec"]).key == one.key
            checked += 1
    assert checked > 100


def test_source_seeds_equal_to_the_run_s_are_not_part_of_its_key(encoder: Path) -> None:
    plain = spec(encoder, "vanilla")
    assert replace(plain, seed_sources={"head": 7}).key == plain.key
    others = [replace(plain, seed_sources={source: 8}).key for source in SOURCES]
    assert len({plain.key, *others}) == 6
    assert RunSpec(**replace(plain, seed_sources={"head": 8}).as_dict()).seeds.head == 8
    with pytest.raises(ValueError, match="unknown source 'heads'; known: subset, head"):
        _ = replace(plain, seed_sources={"heads": 8}).seeds


def suite_of(folder: Path, content: str) -> Suite:
    path = write_suite(folder, "minilm-l6", methods="vanilla, mixout")
    path.write_text(path.read_text().replace("seeds: [1, 2]", f"seeds: {content}"))
    return read_suite(path)


def test_a_crossed_suite_runs_and_plans_every_combination(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "{crossed: {subset: [1, 2, 3, 4], rest: [11, 12, 3]}}")
    plan = make_plan(suite)
    read = read_plan(json.loads(plan.run_plan.as_json()), "tiny")
    of_one_row = [run.seeds for run in read.runs.values() if (run.label, run.task) == ("mixout", "mini-cola")]
    assert [(one.subset, one.head) for one in of_one_row] == [(a, b) for a in (1, 2, 3, 4) for b in (11, 12, 3)]
    assert all(len({one.head, one.order, one.dropout, one.method}) == 1 for one in of_one_row)
    assert all(run.spec.seeds == read.runs[run.spec.key].seeds for run in plan.runs)
    assert SHARED_SEEDS_NOTE in read.note
    assert len(set(read.seeds)) == 12
    # Rows of a combination are paired by one number; with one seed for all it is the ordinary run.
    assert {run.spec.seed for run in plan.runs} == set(suite.seeds)
    assert suite.seeds[8] == 3
    ordinary = make_plan(suite_of(tmp_path, "[3]")).runs
    assert {run.spec.key for run in ordinary} < {run.spec.key for run in plan.runs}


def test_numbers_of_a_crossed_design_stay_when_it_grows(tmp_path: Path) -> None:
    small = suite_of(tmp_path, "{crossed: {subset: [1, 2], rest: [11]}}")
    large = suite_of(tmp_path, "{crossed: {rest: [12, 11, 13], subset: [5, 1, 2]}}")
    assert set(small.seeds) < set(large.seeds)
    assert all(large.seed_sources[seed] == small.seed_sources[seed] for seed in small.seeds)
    chosen = with_choices(large, seeds=",".join(map(str, small.seeds)))
    assert {run.spec.key for run in make_plan(chosen).runs} == {run.spec.key for run in make_plan(small).runs}


def test_parallel_lists_give_one_run_per_position(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "{subset: {preset: agwm, first: 3}, head: [1, 2, 3], rest: 9}")
    sources = [Seeds.of(seed, suite.seed_sources[seed]) for seed in suite.seeds]
    assert [(one.head, one.order, one.method) for one in sources] == [(1, 9, 9), (2, 9, 9), (3, 9, 9)]
    assert len({one.subset for one in sources}) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{subset: [1, 2]}", "no seed for head, order, dropout, method; add 'rest"),
        ("{crossed: {subset: [1, 2], heads: [1], rest: 1}}", "unknown source 'heads'"),
        ("{crossed: {subset: [1], rest: [1]}, rest: [2]}", "unknown field 'rest'"),
        ("{subset: [1, 2, 3], rest: [1, 2]}", "one for all: subset 3, rest 2"),
        ("{subset: [1, 1], rest: 2}", "1 is listed more than once"),
        ("{crossed: {}}", "no seed for"),
        ("{subset: 1, head: 1, order: 1, dropout: 1, method: 1, rest: 1}", "nothing is left for 'rest'"),
        ("{prest: agwm}", "unknown field 'prest'"),
        ("{crossed: {subset: [42, 1], rest: [5]}}", r"\[42\].*must not be reported"),
    ],
)
def test_a_contradictory_design_is_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(SuiteError, match=words):
        make_plan(suite_of(tmp_path, content))


def test_two_runs_with_the_same_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amix.specs.seed_sources._number", lambda _: 5)
    with pytest.raises(ValueError, match="two runs would have the number 5"):
        combined({"subset": (1, 2), "rest": (1,)}, crossed=True)


def test_the_settings_of_methods_here_are_valid() -> None:
    for method, settings in METHODS.items():
        make_config(find_method(method), full_settings(find_method(method), settings))
