"""Saving a finished run as a folder that loads without this project: weights, trained head, tokenizer, label names."""

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from amix.models import folder_code
from amix.models.loading import label_settings
from amix.models.mean_pooling import MeanPooledClassifier
from amix.models.model_folder import Description
from amix.models.with_addition import EncoderWithAddition
from amix.specs.task import Task

CODE_FILE = "modeling_finetuned.py"
CARD = """# Finetuned on {title}

Labels: {labels}.
{probabilities}

{loading}

`python -m runners predict`, of the project that wrote this folder, labels a whole table of texts with it.
"""
PLAIN = (
    "Load with `AutoModelForSequenceClassification.from_pretrained(folder)`, or with "
    "`pipeline('text-classification', model=folder, truncation=True)`."
)
OWN_CODE = """transformers has no class for this model; its code is in `{file}`, and without `trust_remote_code=True`
transformers refuses it. Load it with
`pipeline("text-classification", model=folder, trust_remote_code=True, truncation=True)` or, for `texts`, a list of
strings, with

```python
{lines}
```"""


def loading_lines() -> str:
    """Return the lines that load a model whose class is in its folder, as documented in amix.models.folder_code."""
    return "\n".join(line.strip() for line in str(folder_code.__doc__).splitlines() if line.startswith("    "))


def save(
    model: nn.Module,
    tokenizer: Any,
    task: Task,
    folder: Path,
    scale: tuple[float, float] = (0.0, 1.0),
    max_length: int | None = None,
    temperature: tuple[float, str] = (1.0, ""),
) -> None:
    """Write model, tokenizer, a README that shows how to load them, and what `predict` needs to know.

    A model that transformers has a class for becomes a plain checkpoint. Any other model is saved with its class, and
    cannot be loaded without it, so it is never loaded with parts missing.

    Args:
        model: A plain Hugging Face classifier, a MeanPooledClassifier, or an EncoderWithAddition.
        tokenizer: The encoder's tokenizer.
        task: Names columns and labels.
        folder: The folder; created if it does not exist.
        scale: Center and spread with which labels were standardised for training (amix.data.encoded.Encoded).
        max_length: Tokens that were kept of a text; None: as many as the tokenizer accepts.
        temperature: The temperature and what it was fitted on (amix.data.temperature.dev_temperature).

    Raises:
        TypeError: The model is neither a plain Hugging Face model nor an EncoderWithAddition.
    """
    if not isinstance(model, PreTrainedModel | EncoderWithAddition):
        raise TypeError(f"export gave a {type(model).__name__}, not a Hugging Face model")
    folder.mkdir(parents=True, exist_ok=True)
    own = isinstance(model, EncoderWithAddition | MeanPooledClassifier)
    loading = _save_with_code(model, task, folder) if own else _save_plain(model, task, folder)
    tokenizer = copy.deepcopy(tokenizer)
    if max_length is not None:
        tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)
    addition = type(model.addition).__module__ if isinstance(model, EncoderWithAddition) else ""
    description = Description.of(task, max_length or int(tokenizer.model_max_length), scale, addition)
    description.temperature, description.calibrated_on = temperature
    card = CARD.format(
        title=task.title, labels=description.labels_in_words, probabilities=description.probabilities_in_words,
        loading=loading,
    )  # fmt: skip
    (folder / "README.md").write_text(card, encoding="utf-8")
    description.write(folder)


def _save_plain(model: nn.Module, task: Task, folder: Path) -> str:
    """Write the checkpoint; returns the instructions for loading it."""
    assert isinstance(model, PreTrainedModel)
    for name, value in label_settings(task).items():
        setattr(model.config, name, value)
    model.save_pretrained(folder)
    return PLAIN


def _save_with_code(model: nn.Module, task: Task, folder: Path) -> str:
    """Write weights, configuration and the class that reads them; returns the instructions for loading them."""
    classifier = model.classifier if isinstance(model, EncoderWithAddition) else model
    assert classifier is None or isinstance(classifier, PreTrainedModel)
    addition: Any = model.addition if isinstance(model, EncoderWithAddition) else None
    pooling = "none" if classifier is None else "mean" if isinstance(classifier, MeanPooledClassifier) else "own"
    config = folder_code.FinetunedConfig(
        encoder={} if classifier is None else _configuration(classifier, task),
        pooling=pooling,
        addition="" if addition is None else type(addition).__name__,
        arguments={} if addition is None else dict(addition.arguments),
        **label_settings(task),
    )
    name = Path(CODE_FILE).stem
    config.auto_map = {
        "AutoConfig": f"{name}.FinetunedConfig", "AutoModelForSequenceClassification": f"{name}.FinetunedClassifier"
    }  # fmt: skip
    config.architectures = ["FinetunedClassifier"]
    config.save_pretrained(folder)
    save_file(_state(classifier, addition), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / CODE_FILE).write_text(_code(addition), encoding="utf-8")
    return OWN_CODE.format(file=CODE_FILE, lines=loading_lines())


def _configuration(classifier: PreTrainedModel, task: Task) -> dict[str, Any]:
    """Return the configuration of the encoder, or of the architecture's own classifier, without local details."""
    content = {**classifier.config.to_dict(), **label_settings(task)}
    return {
        name: value for name, value in content.items() if not name.startswith("_") and name != "transformers_version"
    }


def _state(classifier: PreTrainedModel | None, addition: nn.Module | None) -> dict[str, torch.Tensor]:
    """Return the weights under the names that FinetunedClassifier gives them."""
    parts: dict[str, nn.Module] = {}
    if isinstance(classifier, MeanPooledClassifier):
        parts |= {"encoder": classifier.encoder, "head": classifier.classifier}
    elif classifier is not None:
        parts["classifier"] = classifier
    if addition is not None:
        parts["addition"] = addition
    named = {f"{part}.{name}": tensor for part, module in parts.items() for name, tensor in module.state_dict().items()}
    return {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in named.items()
        if not name.startswith("encoder.pooler.")
    }


def _code(addition: nn.Module | None) -> str:
    """Return the source of the class, followed by that of its addition."""
    source = inspect.getsource(folder_code)
    if addition is None:
        return source
    lineage = reversed(type(addition).__mro__)
    classes = [kind for kind in lineage if kind.__module__.split(".")[0] not in ("torch", "builtins")]
    name = type(addition).__name__
    return "\n\n".join([source, *map(inspect.getsource, classes), f'ADDITIONS["{name}"] = {name}\n'])
