"""Using a saved model: from texts to logits, and from logits to probabilities or numbers.

Python code in the folder is never run: if a model was saved with its class, this project's own copy is used.
"""

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from scipy.special import softmax
from torch import nn

from amix.models import folder_code
from amix.models.model_folder import Description, ModelFolderError, read_description

OURS = ("amix.", "baselines.")
"""Packages from which classes are loaded."""
TOKENS = 4096
"""Tokens of a batch, including padding."""
Texts = Sequence[tuple[str, ...]]
"""Each a tuple of one text, or of two for pairs."""


@dataclass(frozen=True)
class SavedModel:
    """A model in evaluation mode with its tokenizer and its description."""

    model: nn.Module
    tokenizer: Any
    description: Description

    def logits(self, texts: Texts) -> numpy.ndarray:
        """Compute the model's outputs, [texts, outputs], before temperature and scale."""
        columns = [list(column) for column in zip(*texts, strict=True)]
        options: dict[str, Any] = {"split_special_tokens": True} if self.description.own_texts else {}
        encoded = self.tokenizer(*columns, truncation=True, max_length=self.description.max_length, **options)
        order = sorted(range(len(texts)), key=lambda row: -len(encoded["input_ids"][row]))
        device = next(self.model.parameters()).device
        logits: list[numpy.ndarray] = [numpy.empty(0)] * len(texts)
        start = 0
        while start < len(order):
            rows = order[start : start + max(1, TOKENS // max(1, len(encoded["input_ids"][order[start]])))]
            batch = {name: [values[row] for row in rows] for name, values in encoded.items()}
            padded = self.tokenizer.pad(batch, return_tensors="pt").to(device)
            with torch.inference_mode():
                outputs = self.model(**padded).logits.float().cpu().numpy()
            for row, output in zip(rows, outputs, strict=True):
                logits[row] = output
            start += len(rows)
        return numpy.stack(logits)

    def probabilities(self, logits: numpy.ndarray) -> numpy.ndarray:
        """Convert a classifier's logits to probabilities, [texts, classes], calibrated if the description says so."""
        return numpy.asarray(softmax(logits.astype(float) / self.description.temperature, axis=1))

    def numbers(self, logits: numpy.ndarray) -> numpy.ndarray:
        """Convert a regression's outputs to predictions on the label's own scale, [texts]."""
        return logits[:, 0].astype(float) * self.description.spread + self.description.center


def load_saved(folder: Path) -> SavedModel:
    """Load the model in a folder that amix.models.export wrote.

    Raises:
        ModelFolderError: The folder cannot be used; one line with the folder and what to do.
    """
    description = read_description(folder)
    try:
        model, tokenizer = _loaded(folder, description)
    except ModelFolderError:
        raise
    except Exception as error:  # A damaged folder can make the libraries raise anything.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ModelFolderError(f"{folder}: the model cannot be loaded ({reason}); save it again") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return SavedModel(model.to(device).eval(), tokenizer, description)


def _loaded(folder: Path, description: Description) -> tuple[nn.Module, Any]:
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Otherwise the tokenizer's loader warns that it does not know our kind of model.
    try:
        model, info = _weights(folder, description)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    finally:
        logging.set_verbosity(verbosity)
    wrong = sorted({*info["missing_keys"], *info["unexpected_keys"], *map(str, info["mismatched_keys"])})
    if wrong:
        raise ModelFolderError(f"{folder}: weights are missing or do not fit ({', '.join(wrong[:3])}); save it again")
    if model.config.num_labels != len(description.labels or [description.label]):
        raise ModelFolderError(f"{folder}: config.json and prediction.json disagree on the labels; save it again")
    return model, tokenizer


def _weights(folder: Path, description: Description) -> tuple[Any, dict[str, Any]]:
    """Return the model, and its loader's report of missing and unexpected weights."""
    from transformers import AutoModelForSequenceClassification

    own = json.loads((folder / "config.json").read_bytes()).get("model_type") == folder_code.FinetunedConfig.model_type
    options: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
    if own:
        _register(description)
        loaded: Any = folder_code.FinetunedClassifier.from_pretrained(folder, **options)
    else:
        loaded = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False, **options)
    model, info = loaded
    return model, info


def _register(description: Description) -> None:
    """Register the class of an addition, if it is one of this project's."""
    if not description.addition:
        return
    if not description.addition.startswith(OURS):
        raise ModelFolderError(
            f"the model has a part from outside this project ({description.addition}), whose Python is not run here: "
            "load it with transformers and trust_remote_code=True, as its README.md says"
        )
    module = importlib.import_module(description.addition)
    for name, kind in vars(module).items():
        if isinstance(kind, type) and issubclass(kind, nn.Module):
            folder_code.ADDITIONS[name] = kind
