"""Proves an encoder before anything is planned as done: a few passes over a few texts of the task itself.

A fault of the encoder would otherwise fail in every run, or, worse, in none and make every score mean nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amix.models.loading import fresh_classifier, load_tokenizer
from amix.specs.encoders import ENCODERS, Encoder, EncoderError, find_encoder
from amix.specs.tasks import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

MOST_UNKNOWN = 0.5
"""Share of unknown tokens from which an encoder does not know a task's words."""
TOLERANCE = 1e-4
"""Of logits, relative where they are above 1: what padding may change by rounding."""
POSITION_NAMES = ("position_embeddings", "wpe", "embed_positions")

Texts = Sequence[tuple[str, ...]]
"""Texts of a task: each a tuple of one string, or of two where the task has pairs."""


def prove_encoder(name: str | Encoder, task: Task, max_length: int, texts: Texts) -> None:
    """Load an encoder as a run will, and show on texts of the task that a run with it can mean something.

    Encoders of the table whose weights' hash is checked are not run: their texts and their positions are looked at.

    Args:
        name: the encoder.
        task: for which it classifies.
        max_length: tokens that the runs keep of a text, the most that any run asks for.
        texts: some of the task's, at least one.

    Raises:
        EncoderError: one line that says what is wrong: weights, vocabulary, positions, or logits that depend on what
            stands beside a text.
    """
    import torch

    from amix.random_streams import kept_random_state

    encoder = find_encoder(name)
    tested = ENCODERS.get(encoder.name) is encoder and bool(encoder.sha256)
    model = _empty_body(encoder) if tested else fresh_classifier(name, task)
    tokenizer = load_tokenizer(name)
    _check_positions(encoder, model, max_length)
    _check_words(encoder, tokenizer, texts)
    if tested:
        return
    chosen = _chosen(tokenizer, texts, max_length)
    _check_entries(encoder, model, tokenizer, texts, max_length)
    try:
        with kept_random_state():
            torch.manual_seed(0)
            _check_neighbours(encoder, model.eval(), tokenizer, chosen, max_length)
            _check_gradients(encoder, model.train(), tokenizer, chosen, max_length)
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        if isinstance(error, EncoderError):
            raise
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise EncoderError(f"encoder '{encoder.name}' cannot be run on three texts of {task.name}: {said}") from error


def _empty_body(encoder: Encoder) -> "nn.Module":
    """The architecture without its weights, which is enough to see how many positions it has."""
    import torch
    from transformers import AutoConfig, AutoModel

    from amix.specs.encoder_files import locate

    config = AutoConfig.from_pretrained(locate(encoder), trust_remote_code=False)
    with torch.device("meta"):
        return AutoModel.from_config(config, trust_remote_code=False)


def positions_of(model: "nn.Module") -> int | None:
    """How many tokens a text may have by the model's table of positions; None where it has no such table.

    RoBERTa and its kin count positions from the padding's own on.
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
    """That the texts' tokens are known ones; a tokenizer without an unknown token knows every byte."""
    ids = [
        token
        for columns in texts
        for text in columns
        for token in tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
    unknown = sum(token == tokenizer.unk_token_id for token in ids) if tokenizer.unk_token_id is not None else 0
    if not ids or unknown > MOST_UNKNOWN * len(ids):
        share = f"{unknown} of {len(ids)} tokens of the texts are unknown to it" if ids else "it makes no token of them"
        raise EncoderError(
            f"encoder '{encoder.name}': its tokenizer does not know these texts: {share} (at most half may be); take "
            "an encoder of their language, or put the tokenizer's own files beside the weights"
        )


def _chosen(tokenizer: Any, texts: Texts, max_length: int) -> list[tuple[str, ...]]:
    """The shortest, a middle and the longest text, of which two differ in length: a text doubled if need be."""

    def length(columns: tuple[str, ...]) -> int:
        return len(tokenizer(*columns, truncation=True, max_length=max_length)["input_ids"])

    ordered = sorted(dict.fromkeys(texts), key=length)
    chosen = [ordered[0], ordered[len(ordered) // 2], ordered[-1]]
    if length(chosen[0]) == length(chosen[-1]):
        chosen[-1] = tuple(f"{text} {text}" for text in chosen[-1])
    if length(chosen[0]) == length(chosen[-1]):  # Cut at the same length.
        chosen[0] = tuple(text.split()[0] for text in chosen[0])
    return chosen


def _check_entries(encoder: Encoder, model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> None:
    """That every token has a row in the embedding."""
    rows = int(model.base_model.get_input_embeddings().num_embeddings)  # type: ignore[operator,union-attr]
    highest = max(max(tokenizer(*one, truncation=True, max_length=max_length)["input_ids"]) for one in texts)
    highest = max(highest, tokenizer.pad_token_id)
    if highest >= rows:
        raise EncoderError(
            f"encoder '{encoder.name}': its tokenizer makes token {highest} and its embedding has {rows} rows: "
            "tokenizer and weights are not of one model"
        )


def _logits(model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> "torch.Tensor":
    columns = [list(column) for column in zip(*texts, strict=True)]
    tokens = tokenizer(*columns, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    return model(**tokens).logits


def _check_neighbours(encoder: Encoder, model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> None:
    """The same text alone and beside a longer one has the same logits."""
    import torch

    with torch.no_grad():
        together = _logits(model, tokenizer, texts, max_length)
        alone = torch.cat([_logits(model, tokenizer, [one], max_length) for one in texts])
    if not torch.isfinite(together).all():
        raise EncoderError(f"encoder '{encoder.name}': its logits are not finite numbers; its weights are damaged")
    difference = float(((together - alone).abs() / alone.abs().clamp(min=1.0)).max())
    if difference > TOLERANCE:
        raise EncoderError(
            f"encoder '{encoder.name}': a text's logits change by {difference:.2g} with the text beside it: it is "
            f"padded on the {tokenizer.padding_side}; set padding_side (left or right) in tokenizer_config.json as the "
            "architecture needs it"
        )


def _check_gradients(encoder: Encoder, model: "nn.Module", tokenizer: Any, texts: Texts, max_length: int) -> None:
    """A backward pass reaches the body, with finite numbers."""
    import torch

    _logits(model, tokenizer, texts, max_length).square().sum().backward()
    body = model.base_model.parameters()  # type: ignore[union-attr]
    gradients = [parameter.grad for parameter in body if parameter.grad is not None]
    if not gradients or not all(bool(torch.isfinite(one).all()) for one in gradients):
        raise EncoderError(f"encoder '{encoder.name}': a backward pass gives no finite gradients; it cannot be trained")
