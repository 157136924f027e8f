"""A finished run as a folder that loads without this project: weights with the trained head, tokenizer, label names."""

import inspect
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from amix.models import mean_pooling
from amix.models.loading import label_settings
from amix.models.with_addition import Extended
from amix.specs.tasks import Task

ADDITION_FILE = "addition.safetensors"
CARD = """# Finetuned on {title}

Labels: {labels}. {loading}
"""
STANDARDISED = ", learnt on a standard scale: {label} = output * {spread!r} + {center!r}"
CODE = "{introduction}\n\n```python\n{lines}\n```"
PLAIN = "Load with `AutoModelForSequenceClassification.from_pretrained(folder)`."
MEAN_POOLED = "This encoder is pooled by the mean of its token states; load it so:"
EXTENDED = "A plain checkpoint is only a part of this model; load it so, with `texts` a list of strings:"

CLASSIFIER_LINES = """import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
encoder = model.base_model
tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
logits = model.eval()(**tokens).logits"""
ALONE_LINES = """import torch
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(folder)
tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
logits = addition(**tokens)"""
ADDITION_IMPORTS = """from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
"""
ADDITION_LINES = """addition = {name}(**{arguments})
addition.load_state_dict(load_file(f"{{folder}}/{file}"))"""


def loading_lines() -> str:
    """The lines that load a mean-pooled model without this project, as amix.models.mean_pooling documents them."""
    return "\n".join(line.strip() for line in str(mean_pooling.__doc__).splitlines() if line.startswith("    "))


def save(model: nn.Module, tokenizer: Any, task: Task, folder: Path, scale: tuple[float, float] = (0.0, 1.0)) -> None:
    """Write model, tokenizer and a README that shows how to load them.

    scale: center and spread of the labels that the model was trained on standardised (amix.data.encoded.Encoded).
    Errors: TypeError when a method's export is neither a plain Hugging Face model nor an Extended.
    """
    if not isinstance(model, PreTrainedModel | Extended):
        raise TypeError(f"export gave a {type(model).__name__}, not a Hugging Face model")
    folder.mkdir(parents=True, exist_ok=True)
    loading = _save_extended(model, task, folder) if isinstance(model, Extended) else _save_plain(model, task, folder)
    tokenizer.save_pretrained(folder)
    labels = ", ".join(task.labels) if task.labels else "a number"
    if scale != (0.0, 1.0):
        labels += STANDARDISED.format(label=task.label, center=scale[0], spread=scale[1])
    card = CARD.format(title=task.title, labels=labels, loading=loading)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _save_plain(model: PreTrainedModel, task: Task, folder: Path) -> str:
    """Write the checkpoint; returns how to load it."""
    for name, value in label_settings(task).items():
        setattr(model.config, name, value)
    if isinstance(model, mean_pooling.MeanPooledClassifier):
        model.save(folder)
        return CODE.format(introduction=MEAN_POOLED, lines=loading_lines())
    model.save_pretrained(folder)
    return PLAIN


def _save_extended(model: Extended, task: Task, folder: Path) -> str:
    """Write the checkpoint, where there is one, and the addition; returns how to put them together."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.addition.state_dict().items()}
    save_file(state, folder / ADDITION_FILE)
    arguments = model.addition.arguments
    lines = ADDITION_LINES.format(name=type(model.addition).__name__, arguments=arguments, file=ADDITION_FILE)
    if model.classifier is None:
        around = ALONE_LINES
    else:
        _save_plain(model.classifier, task, folder)
        around = (
            loading_lines() if isinstance(model.classifier, mean_pooling.MeanPooledClassifier) else CLASSIFIER_LINES
        )
        lines += "\naddition.attach(encoder)"
    before, tokens, after = around.partition("tokens = ")
    lineage = reversed(type(model.addition).__mro__)
    classes = [kind for kind in lineage if kind.__module__.split(".")[0] not in ("torch", "builtins")]
    source = "\n\n".join([ADDITION_IMPORTS, *map(inspect.getsource, classes)])
    return CODE.format(introduction=EXTENDED, lines=f"{source}\n\n{before}{lines}\n{tokens}{after}")
