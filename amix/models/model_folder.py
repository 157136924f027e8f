"""The description in a finetuned model's folder: what prediction needs to know besides the weights."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from amix.specs.store import write_atomically
from amix.specs.task import Task

FILE = "prediction.json"
VERSION = 1


class ModelFolderError(ValueError):
    """A folder is not a model of this project, or is damaged."""


class Description(BaseModel):
    """How texts become labels.

    Attributes:
        version: Version of this format.
        task: Name of the task.
        text: One text column, or two for pairs.
        label: The column that the model was trained to predict.
        labels: Names of the classes in the order of the outputs; None for regression.
        max_length: Tokens that are kept of a text.
        own_texts: Whether names of special tokens in a text are text like any other.
        center: A regression predicts output * spread + center.
        spread: See center.
        temperature: Logits are divided by it before they become probabilities.
        calibrated_on: What the temperature was fitted on; empty: it was not fitted, and is 1.
        addition: Module of the class of the addition; empty for none.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = VERSION
    task: str
    text: list[str] = Field(min_length=1, max_length=2)
    label: str
    labels: list[str] | None
    max_length: int = Field(ge=1)
    own_texts: bool
    center: float = 0.0
    spread: float = 1.0
    temperature: float = Field(default=1.0, gt=0)
    calibrated_on: str = ""
    addition: str = ""

    @classmethod
    def of(
        cls, task: Task, max_length: int, scale: tuple[float, float] = (0.0, 1.0), addition: str = ""
    ) -> "Description":
        """Describe a model of this task; scale is (center, spread)."""
        return cls(
            task=task.name, text=list(task.text), label=task.label, labels=list(task.labels) if task.labels else None,
            max_length=max_length, own_texts=task.origin == "files", center=scale[0], spread=scale[1],
            addition=addition,
        )  # fmt: skip

    @property
    def labels_in_words(self) -> str:
        """The classes or, for regression, how the number follows from the model's output."""
        if self.labels is not None:
            return ", ".join(self.labels)
        if (self.center, self.spread) == (0.0, 1.0):
            return "a number"
        return f"a number, learnt on a standard scale: {self.label} = output * {self.spread!r} + {self.center!r}"

    @property
    def calibrated(self) -> bool:
        """Whether the temperature was fitted."""
        # Folders written before `calibrated_on` existed hold a fitted temperature without it.
        return bool(self.calibrated_on) or self.temperature != 1.0

    @property
    def probabilities_in_words(self) -> str:
        """How probabilities follow from the logits, and whether they are calibrated."""
        if self.labels is None:
            return "There are no probabilities, and no temperature: the prediction is a number."
        if not self.calibrated_on:
            return (
                "Probabilities: the softmax of the logits, temperature 1. They are not calibrated: the run had no dev "
                "set to fit a temperature on."
            )
        return (
            f"Probabilities: the softmax of the logits divided by the temperature {self.temperature:.4g}, which was "
            f"fitted on {self.calibrated_on}; with transformers alone, divide the logits yourself."
        )

    def write(self, folder: Path) -> None:
        """Write the description into the model's folder."""
        write_atomically(folder / FILE, self.model_dump_json(indent=1).encode())


def read_description(folder: Path) -> Description:
    """Read the description in a model's folder.

    Raises:
        ModelFolderError: One line with the folder and what to do.
    """
    path = folder / FILE
    if not path.is_file():
        what = "is not a folder" if not folder.is_dir() else f"has no {FILE}"
        raise ModelFolderError(
            f"{folder} {what}: give a folder that `python -m runners compare` or `python -m runners export` wrote"
        )
    try:
        description = Description.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFolderError(f"{path}: {where}: {first['msg']}; save the model again") from error
    if description.version != VERSION:
        raise ModelFolderError(
            f"{path} has version {description.version}; this program reads {VERSION}: save the model again"
        )
    return description
