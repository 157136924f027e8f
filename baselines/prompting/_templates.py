"""Manual prompts: a template and one word per label, and their tokens in an encoder's vocabulary."""

import re
from dataclasses import dataclass
from typing import Any

from amix.specs.task import Task
from amix.training.method import MethodError

PARTS = ("<S1>", "<S1->", "<S2>", "[MASK]")
"""The placeholders of a template: the first text, the same without its closing mark, the second text, and the mask."""
_SPLIT = re.compile("(" + "|".join(map(re.escape, PARTS)) + ")")


@dataclass(frozen=True)
class Prompt:
    """A template, and one word per label in the order of their ids; in regression the words for the low and high end.

    bounds: the numbers of the two ends; None for the lowest and the highest label of the training set.
    """

    template: str
    words: tuple[str, ...]
    bounds: tuple[float, float] | None = None


_SENTIMENT, _SAME, _FOLLOWS = "<S1> It was [MASK].", "<S1> [MASK], <S2>", "<S1->? [MASK], <S2>"
PUBLISHED = {
    "sst2": Prompt(_SENTIMENT, ("terrible", "great")),
    "cr": Prompt(_SENTIMENT, ("terrible", "great")),
    "sst5": Prompt(_SENTIMENT, ("terrible", "bad", "okay", "good", "great")),
    "cola": Prompt("<S1> This is [MASK].", ("incorrect", "correct")),
    "mnli": Prompt(_FOLLOWS, ("Yes", "Maybe", "No")),
    "mnli-mismatched": Prompt(_FOLLOWS, ("Yes", "Maybe", "No")),
    "qnli": Prompt(_FOLLOWS, ("Yes", "No")),
    "rte": Prompt(_FOLLOWS, ("Yes", "No")),
    "mrpc": Prompt(_SAME, ("No", "Yes")),
    "qqp": Prompt(_SAME, ("No", "Yes")),
    "stsb": Prompt(_SAME, ("No", "Yes"), bounds=(0.0, 5.0)),
}
"""Gao et al. (2021), table 1; spaces and the closing mark as in the official run_experiment.sh."""


def prompt_of(task: Task, template: str, words: tuple[str, ...]) -> Prompt:
    """The given prompt, or the published one of this task.

    An embedded task has the prompt of the GLUE task that it is named after.

    Raises:
        MethodError: There is no prompt, or it does not fit the task.
    """
    known = PUBLISHED.get(task.name.removeprefix("mini-")) if task.origin != "files" else None
    if known is None and not (template and words):
        raise MethodError(
            f"no prompt was published for task {task.name}: give one, such as "
            f"template: '<S1>{' [MASK], <S2>' if len(task.text) > 1 else ' It was [MASK].'}' and "
            f"label_words: [{_in_words(task)}]"
        )
    bounds = known.bounds if known else None
    prompt = Prompt(template or (known.template if known else ""), words or (known.words if known else ()), bounds)
    wanted = 2 if task.regression else task.outputs
    if len(prompt.words) != wanted or len(set(prompt.words)) != wanted:
        given = ", ".join(prompt.words) or "none"
        raise MethodError(f"label_words: {wanted} different words are needed ({_in_words(task)}), found: {given}")
    parts = _SPLIT.findall(prompt.template)
    texts = sorted(part.replace("-", "") for part in parts if part != "[MASK]")
    if parts.count("[MASK]") != 1 or texts != ["<S1>", "<S2>"][: len(task.text)]:
        places = ", ".join(["[MASK]", "<S1>", "<S2>"][: 1 + len(task.text)])
        raise MethodError(f"template: '{prompt.template}' must hold, for task {task.name}, {places}, once each")
    return prompt


def _in_words(task: Task) -> str:
    if task.labels is None:
        return "a word for the lowest number, a word for the highest one"
    return ", ".join(f"a word for {label}" for label in task.labels)


def pieces_of(template: str, tokenizer: Any) -> list[str | list[int]]:
    """The template as a list of placeholders (PARTS) and, between them, the tokens of its words."""
    pieces: list[str | list[int]] = []
    for part in _SPLIT.split(template):
        if part in PARTS:
            pieces.append(part)
        elif part.strip():
            pieces.append(tokens_of(tokenizer, part.rstrip()))
    return pieces


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text, without special ones."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def word_tokens(words: tuple[str, ...], tokenizer: Any) -> list[int]:
    """The token of each label's word in the middle of a sentence.

    Raises:
        MethodError: A word is not exactly one token, or two words are the same token.
    """
    found = [tokens_of(tokenizer, f" {word}") for word in words]
    for word, tokens in zip(words, found, strict=True):
        if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
            what = "not in it" if tokens in ([], [tokenizer.unk_token_id]) else f"{len(tokens)} tokens"
            raise MethodError(f"label_words: '{word}' must be one token of the encoder's vocabulary, but is {what}")
    if len({tokens[0] for tokens in found}) < len(found):
        raise MethodError(f"label_words: two of {', '.join(words)} are the same token of the encoder's vocabulary")
    return [tokens[0] for tokens in found]


def closing_tokens(tokenizer: Any) -> list[int]:
    """The tokens of full stop, question mark and exclamation mark, after a word and after a space."""
    found = {tuple(tokens_of(tokenizer, text)) for mark in ".?!" for text in (mark, f"a{mark}", f" {mark}")}
    return sorted({tokens[-1] for tokens in found if tokens} - {tokenizer.unk_token_id})
