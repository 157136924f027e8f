"""Loading rows and its errors, low-resource subsets, batches."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import numpy
import pandas
import pytest
import torch
import yaml

from amix.data import splits
from amix.data.encoded import Encoded, evaluation_batches, training_batches
from amix.data.rows import GLUE_VARIABLE, DataError, glue_folder, load_rows, source_name
from amix.data.splits import MOST_SPLITS, load_splits, subset_positions
from amix.models.loading import load_tokenizer
from amix.specs.task import Task, TaskError
from amix.specs.tasks import GLUE, find_task

ROWS = {"sentence": ["it sings", "sings it", "a tree"], "label": [1, 0, 1], "idx": [4, 7, 9]}


def save_glue(folder: Path, **changes: Any) -> Path:
    """A GLUE folder with only CoLA; changes replace columns, None removes one."""
    columns = {name: values for name, values in (ROWS | changes).items() if values is not None}
    (folder / "cola").mkdir(parents=True)
    for split in ("train", "validation"):
        pandas.DataFrame(columns).to_parquet(folder / "cola" / f"{split}-00000-of-00001.parquet")
    return folder


def test_a_folder_in_the_layout_of_the_hub_is_read(tmp_path: Path) -> None:
    rows = load_rows(find_task("cola"), "train", save_glue(tmp_path))
    assert rows.to_dict("list") == ROWS


def test_a_split_in_several_files_is_read_in_order(tmp_path: Path) -> None:
    save_glue(tmp_path)
    pandas.DataFrame(ROWS | {"idx": [11, 12, 13]}).to_parquet(tmp_path / "cola" / "train-00001-of-00002.parquet")
    assert load_rows(find_task("cola"), "train", tmp_path)["idx"].tolist() == [4, 7, 9, 11, 12, 13]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sentence": None}, ["no column 'sentence'", "columns there: 'label', 'idx'"]),
        (
            {"label": [1, 2, 0]},
            ["column label", "2 is none of the labels unacceptable, acceptable", "1 such row in 3"],
        ),
        ({"label": [1, -1, -1]}, ["-1 is none of the labels", "2 such rows in 3"]),
        ({"sentence": ["it sings", " ", "a tree"]}, ["row 2, column sentence", "an empty text"]),
        ({"sentence": [], "label": [], "idx": []}, ["has no rows"]),
    ],
)
def test_wrong_content_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    folder = save_glue(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        load_rows(find_task("cola"), "train", folder)
    assert all(word in str(caught.value) for word in [*words, "cola/train"])


def test_a_missing_task_or_split_lists_what_is_there(tmp_path: Path) -> None:
    folder = save_glue(tmp_path)
    with pytest.raises(DataError, match="no folder 'rte' for task rte; it holds: cola"):
        load_rows(find_task("rte"), "train", folder)
    with pytest.raises(DataError, match=r"no test\*.parquet for task cola; it holds: train-00000"):
        load_rows(find_task("cola"), "test", folder)


def test_the_glue_folder_is_the_one_given_else_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GLUE_VARIABLE, raising=False)
    assert glue_folder(None) is None
    monkeypatch.setenv(GLUE_VARIABLE, str(tmp_path))
    assert glue_folder(None) == tmp_path
    with pytest.raises(DataError, match="does not exist.*--glue"):
        glue_folder(tmp_path / "elsewhere")


def test_an_unknown_task_gets_the_nearest_names() -> None:
    with pytest.raises(TaskError, match="did you mean .*mini-cola"):
        find_task("mini-colas")


def test_without_a_folder_rows_come_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*arguments: str, **options: str) -> datasets.Dataset:
        asked.append((arguments, options))
        return datasets.Dataset.from_dict(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load_rows(find_task("cola"), "validation").to_dict("list") == ROWS
    assert asked == [(("nyu-mll/glue", "cola"), {"split": "validation"})]
    assert source_name(find_task("cola"), None) == "hub"


def test_an_unreachable_hub_gives_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*arguments: str, **options: str) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match="nyu-mll/glue.*no route to host.*--glue DIR"):
        load_rows(find_task("mrpc"), "train")


def save_own(folder: Path, train: str, suffix: str, **fields: Any) -> Task:
    """A user's own task in files of this kind."""
    content = {"name": "own", "train": f"train{suffix}", "test": f"train{suffix}", "text": ["first", "second"]} | fields
    (folder / "own.yaml").write_text(yaml.safe_dump(content))
    (folder / f"train{suffix}").write_text(train)
    return find_task(str(folder / "own.yaml"))


def test_a_user_s_csv_with_label_names_is_read(tmp_path: Path) -> None:
    task = save_own(tmp_path, 'first,second,label\na,"b, c",yes\nd,null,no\n', ".csv", labels=["no", "yes"])
    rows = load_rows(task, task.train)
    assert rows["label"].tolist() == [1, 0]
    assert rows["second"].tolist() == ["b, c", "null"]
    assert source_name(task, None) == "files"


def test_labels_are_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("{name: own, train: a.csv, test: b.csv, text: t, labels: [no, Yes, 01, 1.0]}")
    assert find_task(str(tmp_path / "own.yaml")).labels == ("no", "Yes", "01", "1.0")
    ids = [
        ("[1.0, 0.0]", "t,label\na,1.0\nb,0.0\n", ".csv", [0, 1]),
        ("[no, yes]", "t,label\na,yes\nb,no\n", ".csv", [1, 0]),
        ("[false, true]", '{"t": "a", "label": true}\n{"t": "b", "label": false}\n', ".jsonl", [1, 0]),
        ("[2, 1]", '{"t": "a", "label": 1.0}\n{"t": "b", "label": 2.0}\n', ".jsonl", [1, 0]),
    ]
    for labels, rows, suffix, expected in ids:
        (tmp_path / f"a{suffix}").write_text(rows)
        words = f"{{name: own, train: a{suffix}, test: a{suffix}, text: t, labels: {labels}}}"
        (tmp_path / "own.yaml").write_text(words)
        task = find_task(str(tmp_path / "own.yaml"))
        assert load_rows(task, task.train)["label"].tolist() == expected, labels
    (tmp_path / "own.yaml").write_text("{name: own, train: a.csv, test: b.csv, text: t, labels: null}")
    assert find_task(str(tmp_path / "own.yaml")).regression


def test_a_user_s_jsonl_with_numbers_is_read(tmp_path: Path) -> None:
    lines = '{"first": "a", "second": "b", "much": 1.5}\n{"first": "c", "second": "d", "much": 4}\n'
    task = save_own(tmp_path, lines, ".jsonl", label="much")
    assert task.regression
    assert load_rows(task, task.train)["label"].tolist() == [1.5, 4.0]


def test_labels_that_are_numbers_are_names_and_texts_stay_as_written(tmp_path: Path) -> None:
    task = save_own(tmp_path, "first,second,label\n007,1e3,02\nb,c,01\n", ".csv", labels=["01", "02"])
    rows = load_rows(task, task.train)
    assert rows["label"].tolist() == [1, 0]
    assert rows.loc[0, ["first", "second"]].tolist() == ["007", "1e3"]
    task = save_own(tmp_path, "first,second,label\na,b,0\nc,d,1\n", ".csv", labels=[1, 2])
    with pytest.raises(DataError, match="line 2, column label: '0' is none of the labels 1, 2"):
        load_rows(task, task.train)
    task = save_own(tmp_path, "first,second,label\na,b,1.0\nc,d,0.0\n", ".csv", labels=["no", "yes"])
    assert load_rows(task, task.train)["label"].tolist() == [1, 0]


def test_a_missing_text_is_an_error_before_anything_trains(tmp_path: Path) -> None:
    lines = '{"first": "2020-01-01", "second": "b", "label": 1}\n{"first": null, "second": "d", "label": 0}\n'
    task = save_own(tmp_path, lines, ".jsonl", labels=["no", "yes"])
    with pytest.raises(DataError, match="line 2, column first: .* is an empty text"):
        load_rows(task, task.train)


@pytest.mark.parametrize(
    ("suffix", "content", "place"),
    [
        (".csv", "first,second,label\na,b,yes\nc,d,maybe\n", "train.csv, line 3, column label: 'maybe'"),
        (".tsv", "first\tsecond\tlabel\na\tb\tyes\n\td\tno\n", "train.tsv, line 3, column first"),
        (".jsonl", '{"first": "a", "second": "b", "label": "nay"}\n', "train.jsonl, line 1, column label: 'nay'"),
        (".csv", "first,label\na,yes\n", "train.csv: no column 'second'; columns there: 'first', 'label'"),
        (".csv", "first,second,label\n", "train.csv: has no rows"),
    ],
)
def test_errors_in_users_files_name_file_line_and_column(tmp_path: Path, suffix: str, content: str, place: str) -> None:
    task = save_own(tmp_path, content, suffix, labels=["no", "yes"])
    with pytest.raises(DataError) as caught:
        load_rows(task, task.train)
    assert place in str(caught.value)


def test_a_label_that_is_not_a_number_is_named(tmp_path: Path) -> None:
    task = save_own(tmp_path, "first,second,label\na,b,1.5\nc,d,much\n", ".csv")
    with pytest.raises(DataError, match="line 3, column label: 'much' is not a number"):
        load_rows(task, task.train)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    task = save_own(tmp_path, "first,second,label\na,b,1.5\n", ".csv")
    with pytest.raises(DataError, match="absent.csv: cannot be read"):
        load_rows(task, "absent.csv")
    (tmp_path / "rows.xlsx").write_text("")
    with pytest.raises(DataError, match="rows.xlsx: unknown kind of file; use .csv, .tsv, .*CSV UTF-8"):
        load_rows(task, "rows.xlsx")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: own\ntrain: a.csv\n", "missing test, text"),
        ("name: own\ntrain: a.csv\ntest: b.csv\ntext: x\nlable: y\n", "unknown field 'lable'; did you mean label"),
        (
            "name: own\ntrain: a.csv\ntest: b.csv\ntext: x\nmetrics: [rouge]\n",
            "unknown metric 'rouge'; did you mean roc_auc",
        ),
        (
            "name: own\ntrain: a.csv\ntest: b.csv\ntext: x\nmetrics: [bleu]\n",
            "metrics: unknown metric 'bleu'; known: matt",
        ),
        ("name: own\ntrain: a.csv\ntest: b.csv\ntext: x\ntitle: [a]\n", "title: a text is needed"),
        ("- a list\n", "a task file needs fields"),
        ("name: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_task_file_is_explained(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(TaskError, match=words) as caught:
        find_task(str(tmp_path / "own.yaml"))
    assert "own.yaml" in str(caught.value)


LABELS = numpy.repeat([0, 1], [700, 300])


@pytest.mark.parametrize("kind", ["uniform", "stratified", "balanced"])
def test_train_and_dev_are_disjoint_and_of_the_stated_sizes(kind: str) -> None:
    train, dev = subset_positions(LABELS, 300, 1, kind)
    assert (len(train), len(dev)) == (300, 50)
    assert len(set(train) | set(dev)) == 350


@pytest.mark.parametrize("kind", ["uniform", "stratified", "balanced"])
def test_a_smaller_subset_is_part_of_a_larger_one(kind: str) -> None:
    small, large = (subset_positions(LABELS, n, 1, kind)[0] for n in (100, 300))
    assert large[:100].tolist() == small.tolist()


def test_seeds_give_different_subsets() -> None:
    first, second = (set(subset_positions(LABELS, 100, seed)[0]) for seed in (1, 2))
    assert len(first & second) < 30


def test_a_stratified_subset_keeps_the_class_shares() -> None:
    for seed in range(5):
        train, dev = subset_positions(LABELS, 300, seed, "stratified")
        assert abs(LABELS[train].mean() - 0.3) < 0.01
        assert abs(LABELS[dev].mean() - 0.3) < 0.05
    uniform = {float(LABELS[subset_positions(LABELS, 300, seed)[0]].mean()) for seed in range(5)}
    assert max(abs(mean - 0.3) for mean in uniform) > 0.01


def test_a_task_outside_glue_has_a_data_set_of_its_own_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(*name: str, split: str) -> datasets.Dataset:
        asked.append((*name, split))
        return datasets.Dataset.from_dict({"text": ["bad", "good"], "label": [0, 1]} | {"sentence": ["a", "b"]})

    monkeypatch.setattr(datasets, "load_dataset", load)
    for task in ("cr", "cola"):
        assert load_rows(find_task(task), "train")["label"].tolist() == [0, 1]
    assert asked == [("SetFit/SentEval-CR", "train"), ("nyu-mll/glue", "cola", "train")]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("each", [1, 8, 20])
def test_a_balanced_subset_has_as_many_of_every_class(classes: int, each: int) -> None:
    shares = numpy.arange(1, classes + 1) / numpy.arange(1, classes + 1).sum()
    labels = numpy.random.default_rng(classes).choice(classes, 500, p=shares)
    drawn = [subset_positions(labels, classes * each, seed, "balanced") for seed in range(5)]
    for train, dev in drawn:
        assert numpy.bincount(labels[train], minlength=classes).tolist() == [each] * classes
        assert numpy.ptp(numpy.bincount(labels[dev], minlength=classes)) <= 1
    assert len({tuple(train) for train, _ in drawn}) == 5


def test_a_balanced_subset_may_take_all_of_the_rarest_class() -> None:
    labels = numpy.repeat([0, 1], [90, 10])
    train, dev = subset_positions(labels, 20, 1, "balanced")
    assert labels[train].sum() == 10
    assert labels[dev].tolist() == [0, 0, 0]


def test_the_whole_split_trains_without_dev() -> None:
    train, dev = subset_positions(LABELS, None, 1)
    assert train.tolist() == list(range(1000))
    assert len(dev) == 0


@pytest.mark.parametrize(
    ("labels", "n", "kind", "words"),
    [
        (LABELS, 900, "uniform", "N=900 with a dev set of 150 does not fit a train split of 1000 rows"),
        (LABELS, 0, "uniform", "N=0"),
        (LABELS / 2, 100, "stratified", "a stratified subset needs classes"),
        (LABELS, 100, "sorted", "unknown kind of subset 'sorted'; known: uniform, stratified, balanced"),
        (LABELS / 2, 100, "balanced", "a balanced subset needs classes"),
        (LABELS, None, "balanced", "a balanced subset needs a size"),
        (LABELS, 101, "balanced", "N=101 cannot be balanced over 2 classes: give a multiple of 2 such as 100"),
        (LABELS, 1, "balanced", "N=1 cannot be balanced over 2 classes: give a multiple of 2 such as 2"),
        (LABELS, 700, "balanced", "the rarest has 300: the largest balanced N is 600"),
    ],
)
def test_impossible_subsets_are_refused(labels: numpy.ndarray, n: int | None, kind: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        subset_positions(labels, n, 1, kind)


def encoded(rows: int, seed: int = 3) -> Encoded:
    lengths = torch.randint(2, 20, (rows,), generator=torch.Generator().manual_seed(seed))
    ids = torch.arange(rows).unsqueeze(1).expand(rows, 20)
    return Encoded({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, lengths, torch.arange(rows))


def test_an_epoch_visits_every_example_once_in_batches_of_similar_length() -> None:
    data = encoded(130)
    batches = list(training_batches(data, 16, numpy.random.default_rng(1)))
    assert sorted(torch.cat(batches).tolist()) == list(range(130))
    assert sorted(len(batch) for batch in batches) == [2, *[16] * 8]
    spread = [float(data.lengths[batch].float().std()) for batch in batches if len(batch) == 16]
    assert numpy.mean(spread) < 0.5 * float(data.lengths.float().std())


def test_evaluation_visits_every_example_once_within_its_token_budget() -> None:
    data = encoded(90)
    batches = list(evaluation_batches(data, tokens=64))
    assert sorted(torch.cat(batches).tolist()) == list(range(90))
    assert all(len(batch) * int(data.lengths[batch].max()) <= 64 for batch in batches)


def test_a_batch_is_padded_to_its_own_longest_text() -> None:
    data = encoded(30)
    chosen = torch.argsort(data.lengths)[:4]
    batch = data.batch(chosen)
    assert batch["input_ids"].shape == (4, int(data.lengths[chosen].max()))
    assert batch["labels"].tolist() == chosen.tolist()


def test_a_process_keeps_few_splits_however_many_folds_there_are(tmp_path: Path) -> None:
    tokenizer = load_tokenizer("minilm-l6")
    task = save_own(
        tmp_path, "sentence,label\n" + "it sings,yes\na tree,no\n" * 8, ".csv", text="sentence", labels=["no", "yes"]
    )
    for number in range(2 * MOST_SPLITS):
        load_splits(replace(task, name=f"fold-{number}"), 8, 1, tokenizer, "minilm-l6", 16)
    assert len(splits._SPLITS) <= MOST_SPLITS
    assert splits._rows.cache_info().currsize <= MOST_SPLITS


def test_splits_of_an_embedded_task_repeat_and_differ_between_seeds() -> None:
    task, tokenizer = find_task("mini-rte"), load_tokenizer("minilm-l6")
    first, again, other = (load_splits(task, 60, seed, tokenizer, "minilm-l6", 64) for seed in (1, 1, 2))
    assert (len(first.train), len(first.dev), len(first.test)) == (60, 10, 300)
    assert first.ids_sha256 == again.ids_sha256 != other.ids_sha256
    assert torch.equal(first.train.inputs["input_ids"], again.train.inputs["input_ids"])
    assert first.source == "embedded"


@pytest.mark.glue
@pytest.mark.skipif(not os.environ.get(GLUE_VARIABLE), reason=f"needs real GLUE in the folder {GLUE_VARIABLE}")
@pytest.mark.parametrize("task", GLUE, ids=lambda task: task.name)
def test_real_glue_fits_its_tasks(task: Task) -> None:
    folder = glue_folder(None)
    for split in (task.train, task.test):
        rows = load_rows(task, split, folder)
        assert len(rows) > 50
        assert rows["label"].nunique() >= task.outputs
