"""A finished run as a folder that plain transformers loads: weights with the trained head, tokenizer, label names."""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from amix import pooling
from amix.encoders import label_settings
from amix.tasks import Task

CARD = """# Finetuned on {title}

Labels: {labels}. {loading}
"""
MEAN_POOLED = "This encoder is pooled by the mean of its token states; load it so:\n\n```python\n{lines}\n```"


def loading_lines() -> str:
    """The lines that load a mean-pooled model without this project, as amix.pooling documents them."""
    return "\n".join(line.strip() for line in str(pooling.__doc__).splitlines() if line.startswith("    "))


def save(model: nn.Module, tokenizer: Any, task: Task, folder: Path) -> None:
    """Write model, tokenizer and a README that shows how to load them.

    Errors: TypeError when a method's export is not a plain Hugging Face model.
    """
    if not isinstance(model, PreTrainedModel):
        raise TypeError(f"export gave a {type(model).__name__}, not a Hugging Face model")
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in label_settings(task).items():
        setattr(model.config, name, value)
    loading = "Load with `AutoModelForSequenceClassification.from_pretrained(folder)`."
    if isinstance(model, pooling.MeanPooledClassifier):
        model.save(folder)
        loading = MEAN_POOLED.format(lines=loading_lines())
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    labels = ", ".join(task.labels) if task.labels else "a number"
    (folder / "README.md").write_text(CARD.format(title=task.title, labels=labels, loading=loading))
