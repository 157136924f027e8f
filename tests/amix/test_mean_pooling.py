"""The mean-pooled classifier: what it computes, and that its documented loading code works."""

import re
from pathlib import Path

import pytest
import torch

from amix.models import export, folder_code
from amix.models.architecture import backbone, head_names
from amix.models.loading import load_model, load_tokenizer
from amix.models.mean_pooling import MeanPooledClassifier
from amix.specs.tasks import find_task
from helpers.toy_encoders import POOLED, Bench


@pytest.fixture
def model(bench: Bench) -> MeanPooledClassifier:
    found = load_model(bench.encoders[POOLED], find_task("mini-rte"), 1).eval()
    assert isinstance(found, MeanPooledClassifier)
    return found


TOKENS = torch.tensor([[2, 6, 8, 9, 3], [2, 10, 3, 0, 0]])
MASK = (TOKENS != 0).long()


def test_padding_changes_nothing(model: MeanPooledClassifier) -> None:
    together = model(input_ids=TOKENS, attention_mask=MASK).logits
    alone = model(input_ids=TOKENS[1:, :3], attention_mask=MASK[1:, :3]).logits
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-6)


def test_the_logits_are_the_heads_of_the_mean_state(model: MeanPooledClassifier) -> None:
    states = model.encoder(input_ids=TOKENS, attention_mask=MASK).last_hidden_state
    expected = model.classifier(torch.stack([states[0].mean(0), states[1, :3].mean(0)]))
    torch.testing.assert_close(model(input_ids=TOKENS, attention_mask=MASK).logits, expected)


def test_the_head_is_the_classifier_and_the_body_the_encoder(model: MeanPooledClassifier) -> None:
    assert backbone(model) is model.encoder
    assert head_names(model) == {"classifier.weight", "classifier.bias"}


def test_dropout_before_the_head_acts_only_in_training(model: MeanPooledClassifier) -> None:
    model.encoder.eval()
    model.dropout.train()
    inputs = {"input_ids": TOKENS, "attention_mask": MASK}
    assert not torch.equal(model(**inputs).logits, model(**inputs).logits)
    model.dropout.eval()
    assert torch.equal(model(**inputs).logits, model(**inputs).logits)


def indented(text: str) -> str:
    """The lines of code of the module's docstring."""
    return "\n".join(re.findall(r"^    (.*)$", text, flags=re.MULTILINE))


def fenced(text: str) -> str:
    """The code block of a page in Markdown."""
    return text.split("```python\n")[1].split("```")[0]


@pytest.mark.parametrize("documented", ["docstring", "README of the export"])
def test_the_documented_lines_load_a_saved_model(bench: Bench, tmp_path: Path, documented: str) -> None:
    model = load_model(bench.encoders[POOLED], find_task("mini-rte"), 1).eval()
    export.save(model, load_tokenizer(bench.encoders[POOLED]), find_task("mini-rte"), tmp_path)
    page = (tmp_path / "README.md").read_text()
    code = indented(str(folder_code.__doc__)) if documented == "docstring" else fenced(page)
    found = {"folder": str(tmp_path), "texts": ["the cat sings", "one lovely tree over the house"]}
    exec(compile(code, documented, "exec"), found)
    tokens = found["tokens"]
    torch.testing.assert_close(found["logits"], model(**tokens).logits, rtol=0, atol=1e-6)
