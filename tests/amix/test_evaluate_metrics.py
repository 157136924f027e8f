"""Metrics of the library evaluate, as a user's own module, which needs no connection."""

from pathlib import Path

import numpy
import pytest
from sklearn.metrics import cohen_kappa_score

from amix.data.evaluate_metrics import evaluate_score
from amix.data.metrics import task_scores
from amix.data.splits import own_findings
from amix.data.task_source import task_source
from amix.specs.data_errors import DataError
from amix.specs.task import Task, TaskError
from amix.specs.tasks import find_task
from helpers.own_texts import evaluate_module
from results.loading.wording import metric_words

ROWS = "text,label\n" + "".join(f"text number {row},{'yes' if row % 2 else 'no'}\n" for row in range(40))
LABELS, PREDICTIONS = numpy.array([0, 1, 1, 0, 1]), numpy.array([0, 1, 0, 0, 0])


def write(folder: Path, returned: str = '{"kappa": value}', metrics: str = "evaluate:kappa, accuracy") -> Path:
    """A task file with its rows, and a module next to it."""
    (folder / "kappa").mkdir(exist_ok=True)
    (folder / "kappa" / "kappa.py").write_text(evaluate_module(returned))
    for name in ("train", "test"):
        (folder / f"{name}.csv").write_text(ROWS)
    file = folder / "task.yaml"
    file.write_text(
        f"name: own\ntrain: train.csv\ntest: test.csv\ntext: text\nlabels: [no, yes]\nmetrics: [{metrics}]\n"
    )
    return file


def task(folder: Path, **given: str) -> Task:
    return find_task(str(write(folder, **given)))


@pytest.mark.parametrize("name", ["kappa", "kappa/kappa.py"])
def test_a_module_next_to_the_task_file_gives_the_score(tmp_path: Path, name: str) -> None:
    own = task(tmp_path, metrics=f"evaluate:{name}, accuracy")
    expected = cohen_kappa_score(LABELS, PREDICTIONS)
    assert 0 < expected < 1
    assert task_scores(own, LABELS, PREDICTIONS) == {f"evaluate:{name}": pytest.approx(expected), "accuracy": 0.6}
    assert metric_words(f"evaluate:{name}") == "kappa"


def test_of_several_numbers_the_one_with_the_module_s_name_is_used(tmp_path: Path) -> None:
    own = task(tmp_path, returned='{"support": len(references), "kappa": value}')
    assert task_scores(own, LABELS, PREDICTIONS)["evaluate:kappa"] == pytest.approx(
        cohen_kappa_score(LABELS, PREDICTIONS)
    )


def test_a_score_that_the_labels_leave_undefined_is_none(tmp_path: Path) -> None:
    own = task(tmp_path, returned='{"kappa": float("nan")}')
    assert task_scores(own, LABELS, PREDICTIONS)["evaluate:kappa"] is None


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ('{"a": value, "b": value}', "it gives a, b; one number is needed, or one named kappa"),
        ('{"kappa": (1 - value) / 2}', "must be better when higher; this one gives 0 for right predictions and 1 for"),
        ('{"kappa": float("nan")}', "must be better when higher; this one gives nan"),
        ('{"kappa": 100 * value + 5}', "100 times a number between -1 and 1; this one gave 105"),
        ("1 / 0", "it cannot be computed from predictions and labels alone .ZeroDivisionError: division by zero"),
        ("syntax error", "evaluate cannot load it"),
    ],
)
def test_an_unusable_module_is_refused_before_anything_runs(tmp_path: Path, returned: str, message: str) -> None:
    with pytest.raises(DataError, match=f"metric 'evaluate:kappa': .*{message}"):
        own_findings(task(tmp_path, returned=returned))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="metric 'evaluate:gone.py': there is no file .*gone.py"):
        evaluate_score("evaluate:gone.py", LABELS, PREDICTIONS, tmp_path)


def test_an_edited_module_changes_the_run(tmp_path: Path) -> None:
    before = task_source(task(tmp_path))
    assert task_source(task(tmp_path)) == before
    assert task_source(task(tmp_path, returned='{"kappa": value / 2}')) != before


@pytest.mark.parametrize("metrics", ["evaluate:mse, accuracy", "'evaluate:'", "kappa"])
def test_metrics_that_cannot_be_primary_are_refused_in_the_file(tmp_path: Path, metrics: str) -> None:
    with pytest.raises(TaskError, match=r"metrics: (the first one must be better|unknown metric)"):
        task(tmp_path, metrics=metrics)
