"""A finished run as a folder that plain transformers loads: weights with the trained head, tokenizer, label names."""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from amix.encoders import label_settings
from amix.pooling import MeanPooledClassifier
from amix.tasks import Task

CARD = """# Finetuned on {title}

Labels: {labels}. {loading}
"""
TEN_LINES = """This encoder is pooled by the mean of its token states; load it so:

```python
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer
encoder, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
head = load_file(f"{folder}/head.safetensors")
tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
states = encoder.eval()(**tokens).last_hidden_state
mask = tokens["attention_mask"].unsqueeze(-1)
mean = (states * mask).sum(1) / mask.sum(1)
logits = mean @ head["weight"].T + head["bias"]
```"""


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
    if isinstance(model, MeanPooledClassifier):
        model.save(folder)
        loading = TEN_LINES
    else:
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    labels = ", ".join(task.labels) if task.labels else "a number"
    (folder / "README.md").write_text(CARD.format(title=task.title, labels=labels, loading=loading))
