"""Prompts written by hand: a template and one word per label, and their tokens in an encoder's vocabulary."""

import re
from dataclasses import dataclass
from typing import Any

from amix.specs.tasks import Task
from amix.training.method import MethodError

PARTS = ("<S1>", "<S1->", "<S2>", "[MASK]")
"""What a template's places are called: the texts, the first one without its closing mark, and the word in question."""
_SPLIT = re.compile("(" + "|".join(map(re.escape, PARTS)) + ")")


@dataclass(frozen=True)
class Prompt:
    """A template, and the words of the labels in the order of their ids; of a number the low and the high end's word.

    bounds: the numbers that these ends stand for, None for the least and the largest label of the training set.
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
"""Gao et al. (2021), table 1; places of blanks and the closing mark as in the official run_experiment.sh."""


def prompt_of(task: Task, template: str, words: tuple[str, ...]) -> Prompt:
    """The prompt that is asked for, else the published one of this task.

    The embedded tasks are of the kind of the GLUE tasks that they are named after, and have their prompts.

    Raises:
        MethodError: there is none, or it does not fit the task.
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
        raise MethodError(f"label_words: {wanted} different words are needed ({_in_words(task)}), not {prompt.words}")
    parts = _SPLIT.findall(prompt.template)
    texts = sorted(part.replace("-", "") for part in parts if part != "[MASK]")
    if parts.count("[MASK]") != 1 or texts != ["<S1>", "<S2>"][: len(task.text)]:
        places = " and ".join(["<S1>", "<S2>"][: len(task.text)])
        raise MethodError(f"template: {prompt.template!r} must hold [MASK] and {places} of task {task.name}, once each")
    return prompt


def _in_words(task: Task) -> str:
    if task.labels is None:
        return "a word for the lowest number, a word for the highest"
    return ", ".join(f"a word for {label}" for label in task.labels)


def pieces_of(template: str, tokenizer: Any) -> list[str | list[int]]:
    """The template as names from PARTS and, between them, tokens of its words."""
    pieces: list[str | list[int]] = []
    for part in _SPLIT.split(template):
        if part in PARTS:
            pieces.append(part)
        elif part.strip():
            pieces.append(tokens_of(tokenizer, part.rstrip()))
    return pieces


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a text without special ones."""
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def word_tokens(words: tuple[str, ...], tokenizer: Any) -> list[int]:
    """The one token of each label's word as it stands inside a sentence.

    Raises:
        MethodError: a word is none or several, or two are the same one.
    """
    found = [tokens_of(tokenizer, f" {word}") for word in words]
    for word, tokens in zip(words, found, strict=True):
        if len(tokens) != 1 or tokens[0] == tokenizer.unk_token_id:
            what = "not in it" if tokens in ([], [tokenizer.unk_token_id]) else f"{len(tokens)} tokens"
            raise MethodError(f"label_words: '{word}' must be one token of the encoder's vocabulary, and is {what}")
    if len({tokens[0] for tokens in found}) < len(found):
        raise MethodError(f"label_words: two of {', '.join(words)} are one token of the encoder's vocabulary")
    return [tokens[0] for tokens in found]


def closing_tokens(tokenizer: Any) -> list[int]:
    """Tokens of the marks that end a sentence, as they follow a word and after a blank."""
    found = {tuple(tokens_of(tokenizer, text)) for mark in ".?!" for text in (mark, f"a{mark}", f" {mark}")}
    return sorted({tokens[-1] for tokens in found if tokens} - {tokenizer.unk_token_id})
