"""The chosen row trained on all rows, saved as a folder with a model card."""

import platform
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from amix.data.data_checks import Finding
from amix.models.model_folder import read_description
from amix.specs.store import write_atomically
from amix.specs.task import Task
from runners.own_data.engine import Engine
from runners.own_data.folds import Unit
from runners.own_data.out_of_fold import OutOfFold

PACKAGES = ("torch", "transformers", "scikit-learn")
KEY_FILE = "training-key.txt"
LOADING = "## Loading"


def train_final(
    engine: Engine, label: str, unit: Unit, own: Task, out_of_fold: OutOfFold, folder: Path, say: Callable[[str], None]
) -> str:
    """Train a row on all rows of a unit and save its model, unless the folder already holds this model.

    Args:
        engine: plans and does the run.
        label: the row to train.
        unit: all rows.
        own: the user's task, whose names the model's description takes.
        out_of_fold: gives the temperature.
        folder: where the model is saved.
        say: is called with a sentence before training.

    Returns:
        The key of the run.

    Raises:
        CompareError: the training failed.
    """
    plan = engine.plan([unit], [label])
    (run,) = plan.runs
    key_file = engine.layout.out / KEY_FILE if engine.layout.out else Path(KEY_FILE)
    saved_key = key_file.read_text() if key_file.is_file() and (folder / "prediction.json").is_file() else ""
    if saved_key != run.spec.key:
        say(f"training {label} on all {unit.train_rows} rows")
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        engine.train(plan, new)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        write_atomically(key_file, run.spec.key.encode())
    fitted_on = "" if own.regression else "out-of-fold predictions"
    description = read_description(folder).model_copy(
        update={
            "task": own.name, "text": list(own.text), "label": own.label, "temperature": out_of_fold.temperature,
            "calibrated_on": fitted_on,
        }
    )  # fmt: skip
    description.write(folder)
    return run.spec.key


def write_card(
    folder: Path, own: Task, row: str, encoder: str, sentences: Sequence[str], findings: Sequence[Finding],
    out_of_fold: OutOfFold, settings: str,
) -> None:  # fmt: skip
    """Complete the card that export wrote: data, scores, settings, versions and limits come before loading."""
    card = folder / "README.md"
    written = card.read_text(encoding="utf-8")
    before, heading, after = written.partition(LOADING)
    loading = after if heading else before.partition("\nLabels: ")[2].partition("\n\n")[2]
    description = read_description(folder)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    lines = [
        f"# {own.title}: {row} on {encoder}", "",
        f"Reads {' and '.join(f'`{name}`' for name in own.text)}, predicts `{own.label}`: "
        f"{description.labels_in_words}.", "",
        "## How good it is", "", *(f"- {one}" for one in sentences), "",
        "The scores are those of models trained on some of the rows and tested on the others; this model was trained "
        "on all of them.", "",
        "## Data", "", *(f"- {one.severity}: {one.said}" for one in findings), "",
        "## Probabilities", "", _probabilities(own, out_of_fold), "",
        "## Settings", "", f"{settings}. Python {platform.python_version()}, {versions}.", "",
        "## Limits", "",
        "- Texts that differ from the ones above (another source, language, time) may be labelled much worse than the "
        "scores suggest.",
        f"- It gives every text {'a number' if own.regression else 'one of its labels'}, even if none fits, and reads "
        f"only the first {description.max_length} tokens.",
        "- Errors and biases in the given labels are learnt as well.", "",
        LOADING, "", loading.strip(), "",
    ]  # fmt: skip
    write_atomically(card, "\n".join(lines).encode())


def _probabilities(own: Task, found: OutOfFold) -> str:
    if own.regression:
        return "The prediction is a number, without a probability."
    return (
        f"`python -m runners predict` divides the logits by the temperature {found.temperature:.3g}, fitted on "
        f"out-of-fold predictions; their log-loss falls from {found.loss_before:.3f} to {found.loss_after:.3f}. "
        "With transformers alone, divide the logits yourself before the softmax."
    )
