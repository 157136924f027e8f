"""Testing an encoder before any run: a few passes over a few texts of the task itself.

A faulty encoder would otherwise make every run fail or, worse, none of them and every score meaningless.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amix.models.loading import empty_classifier, fresh_classifier, load_tokenizer
from amix.specs.encoders import ENCODERS, Encoder, EncoderError, find_encoder
from amix.specs.task import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

MOST_UNKNOWN = 0.5
"""Largest share of unknown tokens with which an encoder still suits a task."""
TOLERANCE = 1e-4
"""Largest change of logits by padding, which rounding explains; relative for logits above 1."""
POSITION_NAMES = ("position_embeddings", "wpe", "embed_positions")

Texts = Sequence[tuple[str, ...]]
"""Texts of a task: each a tuple of one string, or of two for pairs."""


def prove_encoder(name: str | Encoder, task: Task, max_length: int, texts: Texts) -> None:
    """Load an encoder as a run does, and check on texts of the task that its scores can be meaningful.

    Encoders of the table whose weights are checked by hash are not run; only texts and positions are checked.

    Args:
        name: The encoder.
        task: The task that it classifies.
        max_length: The most tokens that any run keeps of a text.
        texts: Some texts of the task, at least one.

    Raises:
        EncoderError: One line that says what is wrong: weights, vocabulary, positions, or logits that depend on the
            other texts of a batch.
    """
    import torch

    from amix.random_streams import kept_random_state

    encoder = find_encoder(name)
    tested = ENCODERS.get(encoder.name) is encoder and bool(encoder.sha256)
    model = empty_classifier(name, task) if tested else fresh_classifier(name, task)
    tokenizer = load_tokenizer(name)
    _check_positions(encoder, model, max_length)
    _check_words(encoder, tokenizer, texts)
    if tested:
        return
    samples = _samples(tokenizer, texts, max_length)
    try:
        _check_entries(encoder, model, tokenizer, texts, max_length)
        with kept_random_state():
            torch.manual_seed(0)
            _check_padding(encoder, model.eval(), tokenizer, samples, max_length)
            _check_gradients(encoder, model.train(), tokenizer, samples, max_length)
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        if isinstance(error, EncoderError):
            raise
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise EncoderError(f"encoder '{encoder.name}' cannot be run on three texts of {task.name}: {reason}") from error


def positions_of(model: "nn.Module") -> int | None:
    """Return the most tokens that the model's position embedding allows; None if it has none.

    Positions of RoBERTa and similar models start after the padding's.
    """
    from torch import nn

    for name, module in model.named_modules():
        if name.rpartition(".")[2] in POSITION_NAMES and isinstance(module, nn.Embedding):
            return int(module.num_embeddings) - (0 if module.padding_idx is None else module.padding_idx + 1)
    return None


def _check_positions(encoder: Encoder, model: "nn.Module", max_length: int) -> None:
    positions = positions_of(model)
    if positions is not None and max_length > positions:
        raise EncoderError(f"{encoder.name} takes at most {positions} tokens; max_length is {max_length}")


def _check_words(encoder: Encoder, tokenizer: Any, texts: Texts) -> None:
    """Check that the texts' tokens are known; a tokenizer without an unknown token knows every byte."""
    ids = [
        token
        for columns in texts
        for text in columns
        for token in tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
    unknown = sum(token == tokenizer.unk_token_id for token in ids) if tokenizer.unk_token_id is not None else 0
    if not ids or unknown > MOST_UNKNOWN * len(ids):
        share = (
            f"{unknown} of {len(ids)} tokens of the texts are unknown to it" if ids else "it finds no tokens in them"
        )
        raise EncoderError(
            f"encoder '{encoder.name}': its tokenizer does not know these texts: {share} (at most half may be); use "
            "an encoder for their language, or put the tokenizer's own files next to the weights"
        )


def _samples(tokenizer: Any, texts: Texts, max_length: int) -> list[tuple[str, ...]]:
    """Return a short, a middle and a long text; if all have the same length, one is changed."""

    def length(columns: tuple[str, ...]) -> int:
        return len(tokenizer(*columns, truncation=True, max_length=max_length)["input_ids"])

    ordered = sorted(dict.fromkeys(texts), key=length)
    samples = [ordered[0], ordered[len(ordered) // 2], ordered[-1]]
    if length(samples[0]) == length(samples[-1]):
        samples[-1] = tuple(f"{text} {text}" for text in samples[-1])
    if length(samples[0]) == length(samples[-1]):  # All texts are cut to max_length.
        samples[0] = tuple(text.split()[0] for text in samples[0])
    return samples


def _check_entries(encoder: Encoder, model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> None:
    """Check that every token has a row in the embedding."""
    rows = getattr(model.base_model.get_input_embeddings(), "num_embeddings", None)  # type: ignore[operator,union-attr]
    if not isinstance(rows, int):
        raise EncoderError(
            f"encoder '{encoder.name}': {type(model.base_model).__name__} has no embedding of tokens, so it does not "
            "read texts; use an encoder of texts"
        )
    highest = max(max(tokenizer(*columns, truncation=True, max_length=max_length)["input_ids"]) for columns in texts)
    highest = max(highest, tokenizer.pad_token_id)
    if highest >= rows:
        raise EncoderError(
            f"encoder '{encoder.name}': its tokenizer produces token {highest}, but its embedding has {rows} rows: "
            "tokenizer and weights are from different models"
        )


def _logits(model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> "torch.Tensor":
    columns = [list(column) for column in zip(*texts, strict=True)]
    tokens = tokenizer(*columns, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    return model(**tokens).logits


def _check_padding(encoder: Encoder, model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> None:
    """Check that a text has the same logits alone and in a batch with a longer one."""
    import torch

    with torch.no_grad():
        together = _logits(model, tokenizer, texts, max_length)
        alone = torch.cat([_logits(model, tokenizer, [columns], max_length) for columns in texts])
    if not torch.isfinite(together).all():
        raise EncoderError(f"encoder '{encoder.name}': its logits are not finite numbers; its weights are damaged")
    difference = float(((together - alone).abs() / alone.abs().clamp(min=1.0)).max())
    if difference > TOLERANCE:
        raise EncoderError(
            f"encoder '{encoder.name}': a text's logits change by {difference:.2g} with the other texts of its batch: "
            f"padding is on the {tokenizer.padding_side}; set padding_side (left or right) in tokenizer_config.json as "
            "the architecture needs it"
        )


def _check_gradients(encoder: Encoder, model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> None:
    """Check that a backward pass reaches the body, with finite gradients."""
    import torch

    _logits(model, tokenizer, texts, max_length).square().sum().backward()
    body = model.base_model.parameters()  # type: ignore[union-attr]
    gradients = [parameter.grad for parameter in body if parameter.grad is not None]
    if not gradients or not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
        raise EncoderError(f"encoder '{encoder.name}': a backward pass gives no finite gradients; it cannot be trained")
