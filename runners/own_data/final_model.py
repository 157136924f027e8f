"""The chosen row trained on all rows, as a folder with a card."""

import platform
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from amix.data.data_checks import Finding
from amix.models.model_folder import read_description
from amix.specs.store import write_atomically
from amix.specs.tasks import Task
from runners.own_data.engine import Engine
from runners.own_data.folds import Unit
from runners.own_data.out_of_fold import OutOfFold

PACKAGES = ("torch", "transformers", "scikit-learn")
KEY_FILE = "training-key.txt"
LOADING = "## Loading"


def train_final(
    engine: Engine, label: str, unit: Unit, own: Task, out_of_fold: OutOfFold, folder: Path, say: Callable[[str], None]
) -> str:
    """Train a row on all rows of a unit and save its model; a folder that holds this very model stays.

    Returns:
        The key of the run.

    Raises:
        CompareError: If the training fails.
    """
    plan = engine.plan([unit], [label])
    (run,) = plan.runs
    key_file = engine.layout.out / KEY_FILE if engine.layout.out else Path(KEY_FILE)
    made = key_file.read_text() if key_file.is_file() and (folder / "prediction.json").is_file() else ""
    if made != run.spec.key:
        say(f"training {label} on all {unit.train_rows} rows")
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        engine.train(plan, new)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        write_atomically(key_file, run.spec.key.encode())
    description = read_description(folder).model_copy(
        update={"task": own.name, "text": list(own.text), "label": own.label, "temperature": out_of_fold.temperature}
    )
    description.write(folder)
    return run.spec.key


def write_card(
    folder: Path, own: Task, row: str, encoder: str, sentences: Sequence[str], findings: Sequence[Finding],
    out_of_fold: OutOfFold, settings: str,
) -> None:  # fmt: skip
    """Put what a user must know before what export wrote on loading: data, scores, settings, versions, limits."""
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
        "The scores are those of models trained on parts of the rows, tested on the others; this model was trained on "
        "all of them.", "",
        "## Data", "", *(f"- {one.severity}: {one.said}" for one in findings), "",
        "## Probabilities", "", _probabilities(own, out_of_fold), "",
        "## Settings", "", f"{settings}. Python {platform.python_version()}, {versions}.", "",
        "## Limits", "",
        "- Texts that differ from the ones above (another source, language, time) can be labelled much worse than the "
        "scores say.",
        f"- It gives every text {'a number' if own.regression else 'one of its labels'}, also where none fits, and "
        f"reads the first {description.max_length} tokens.",
        "- Errors and prejudices of the given labels are learnt like everything else.", "",
        LOADING, "", loading.strip(), "",
    ]  # fmt: skip
    write_atomically(card, "\n".join(lines).encode())


def _probabilities(own: Task, found: OutOfFold) -> str:
    if own.regression:
        return "The prediction is a number, without a probability."
    return (
        f"`python -m runners predict` divides the logits by the temperature {found.temperature:.3g}, fitted on "
        f"out-of-fold predictions, whose log-loss it takes from {found.loss_before:.3f} to {found.loss_after:.3f}. "
        "transformers alone does not: divide before its softmax."
    )
