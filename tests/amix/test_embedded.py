"""The committed embedded tasks: shape, balance, separate train and validation words, and not solvable by n-grams."""

import csv
from pathlib import Path

import pytest

from amix.data.embedded.generator import lexicon
from amix.data.embedded.generator.generate import FOLDER, SIZES, TASKS, examples, write
from amix.data.embedded.generator.wording import concepts
from amix.specs.tasks import find_task
from runners.benchmarks.embedded_ngrams import ngram_score

FILES = [(task, split) for task in TASKS for split in SIZES]
NGRAM_BOUNDS = {"mini-cola": 0.15, "mini-rte": 0.58, "mini-mrpc": 0.77, "mini-stsb": 0.3}


def read(task: str, split: str) -> list[dict[str, str]]:
    with (FOLDER / task / f"{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def texts(task: str, split: str) -> list[frozenset[str]]:
    return [frozenset(row[column] for column in find_task(task).text) for row in read(task, split)]


@pytest.mark.parametrize(("task", "split"), FILES)
def test_columns_and_size(task: str, split: lexicon.Split) -> None:
    rows = read(task, split)
    assert list(rows[0]) == ["idx", *find_task(task).text, "label"]
    assert [int(row["idx"]) for row in rows] == list(range(SIZES[split]))


@pytest.mark.parametrize(("task", "split"), FILES)
def test_label_balance(task: str, split: lexicon.Split) -> None:
    labels = [float(row["label"]) for row in read(task, split)]
    if task == "mini-stsb":
        assert min(labels) == 0
        assert max(labels) == 5
        assert 2 < sum(labels) / len(labels) < 3
    else:
        assert set(labels) == {0, 1}
        assert sum(labels) / len(labels) == {"mini-cola": 0.63, "mini-rte": 0.5, "mini-mrpc": 0.6}[task]


@pytest.mark.parametrize("task", TASKS)
def test_no_text_repeats_in_either_order(task: str) -> None:
    found = texts(task, "train") + texts(task, "validation")
    assert len(set(found)) == len(found)
    assert all(len(pair) == len(find_task(task).text) for pair in found)


@pytest.mark.parametrize("task", TASKS)
def test_sentences_are_short_and_end_with_a_full_stop(task: str) -> None:
    sentences = [sentence for split in SIZES for pair in texts(task, split) for sentence in pair]
    assert all(sentence[0].isupper() and sentence.endswith(".") and "  " not in sentence for sentence in sentences)
    assert max(len(sentence.split()) for sentence in sentences) <= 12


@pytest.mark.parametrize("part", ["agent", "action", "thing", "setting"])
def test_validation_words_are_held_out(part: str) -> None:
    train, validation = (
        {word for concept in concepts(part, split) for word in (concept.word, concept.synonym) if word}
        for split in SIZES
    )
    assert validation
    assert not train & validation


def test_committed_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    write(tmp_path)
    for task, split in FILES:
        name = f"{task}/{split}.csv"
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_unknown_task_is_refused() -> None:
    with pytest.raises(KeyError, match="mini-wnli"):
        examples("mini-wnli", "train")


@pytest.mark.parametrize("task", TASKS)
def test_ngrams_stay_far_below_a_pretrained_encoder(task: str) -> None:
    assert ngram_score(find_task(task)) < NGRAM_BOUNDS[task]
