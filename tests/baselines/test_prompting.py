"""Prompts: what they are made of, the pretrained head that reads them, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from amix.data.encoded import Encoded
from amix.models.loading import load_model, load_tokenizer
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.specs.tasks import EMBEDDED, FEW_SHOT, GLUE, find_task
from amix.training.fit import Fit
from amix.training.method import MethodError
from baselines.prompting._classifier import PromptClassifier
from baselines.prompting._templates import PUBLISHED, closing_tokens, pieces_of, prompt_of, word_tokens
from baselines.prompting.lm_bff import LMBFF, divergence
from helpers.toy_encoders import FAMILIES, POOLED, Bench, save_language_models
from runners.planning.suite import method_rows

PAIR = Task("pair", "Pair", ("a", "b"), ("no", "yes"), ("accuracy",), origin="files")
ONE = Task("one", "One", ("a",), ("no", "yes"), ("accuracy",), origin="files")
TEMPLATES = {PAIR: "<S1-> the [MASK] over <S2>", ONE: "<S1> walks [MASK] sleeps"}
WORDS = ("sad", "great")
TEXTS: dict[Task, list[tuple[str, ...]]] = {
    PAIR: [("the cat sings", "a dog"), ("one tree", "the river walks over the house")],
    ONE: [("the cat sings",), ("a bird sleeps over the river",)],
}
PROMPTS = {
    PAIR: ["the cat sings the [MASK] over a dog", "one tree the [MASK] over the river walks over the house"],
    ONE: ["the cat sings walks [MASK] sleeps", "a bird sleeps over the river walks [MASK] sleeps"],
}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return save_language_models(tmp_path_factory.mktemp("language-models"))


def fit_of(task: Task) -> Fit:
    labels = torch.tensor([0.0, 5.0] if task.regression else [0, 1])
    ids = torch.ones(2, 4, dtype=torch.int64)
    data = Encoded({"input_ids": ids, "attention_mask": ids}, torch.tensor([4, 4]), labels)
    return Fit(task, Recipe(), 1, data, data)


def prepared(encoder: str, task: Task, **settings: Any) -> PromptClassifier:
    given = {"template": TEMPLATES.get(task, ""), "label_words": WORDS} | settings
    model = LMBFF(LMBFF.Config(**given)).prepare(load_model(encoder, task, seed=0), fit_of(task)).eval()
    assert isinstance(model.addition, PromptClassifier)
    return model.addition


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("task", [PAIR, ONE], ids=lambda task: task.name)
@pytest.mark.parametrize("family", [*FAMILIES, "mpnet"])
def test_untrained_scores_are_the_pretrained_models_own(
    encoders: dict[str, str], family: str, task: Task, side: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(encoders[family], padding_side=side)
    columns = [list(column) for column in zip(*TEXTS[task], strict=True)]
    batch = dict(tokenizer(*columns, padding=True, return_tensors="pt"))
    tokenizer.padding_side = "right"
    whole = tokenizer(PROMPTS[task], padding=True, return_tensors="pt")
    rows, places = torch.nonzero(whole["input_ids"] == tokenizer.mask_token_id, as_tuple=True)
    with torch.inference_mode():
        found = prepared(encoders[family], task)(**batch)
        logits = AutoModelForMaskedLM.from_pretrained(encoders[family]).eval()(**whole).logits[rows, places]
    torch.testing.assert_close(found, logits[:, tokenizer.convert_tokens_to_ids(list(WORDS))], atol=1e-5, rtol=1e-5)


def test_only_a_closing_mark_is_left_out_of_a_first_text(encoders: dict[str, str]) -> None:
    addition = prepared(encoders["bert"], PAIR)
    addition.special["closing"] = [17]
    assert addition.texts([2, 9, 17, 3, 11, 17, 3]) == ([9], [11, 17])
    assert addition.texts([2, 9, 16, 3, 11, 3]) == ([9, 16], [11])
    assert addition.texts([2, 17, 3, 11, 3]) == ([17], [11]), "a text is never empty"


def test_a_text_too_long_for_the_encoder_is_cut_and_the_prompt_is_not(encoders: dict[str, str]) -> None:
    addition = prepared(encoders["bert"], PAIR)
    first, second = addition.texts([2, *[9] * 50, 3, *[11] * 4, 3])
    assert (set(first), second) == ({9}, [11] * 4)
    assert len(addition.prompt(first, second)) == addition.longest == 39
    assert addition.prompt(first, second)[addition.place(first, second)] == addition.special["mask"]


def test_every_task_of_glue_but_one_has_a_prompt_that_fits_it() -> None:
    tasks = [task for task in (*GLUE, *EMBEDDED, *FEW_SHOT) if task.name != "wnli"]
    assert set(PUBLISHED) == {task.name for task in tasks if task.origin == "glue"}
    for task in tasks:
        prompt = prompt_of(task, "", ())
        assert len(prompt.words) == (2 if task.regression else task.outputs)
    assert prompt_of(find_task("rte"), "", ()).words[0] == "Yes", "the first class is entailment"
    assert prompt_of(find_task("mrpc"), "", ()).words[1] == "Yes", "the second class is equivalence"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_words_and_templates_are_tokens_of_a_real_vocabulary(name: str) -> None:
    tokenizer = load_tokenizer("minilm-l6")  # BERT's, in lower case.
    words = word_tokens(PUBLISHED[name].words, tokenizer)
    assert tokenizer.convert_ids_to_tokens(words) == [word.lower() for word in PUBLISHED[name].words]
    pieces = [
        piece if isinstance(piece, str) else " ".join(tokenizer.convert_ids_to_tokens(piece))
        for piece in pieces_of(PUBLISHED[name].template, tokenizer)
    ]
    assert " ".join(pieces) in (
        "<S1> it was [MASK] .", "<S1> this is [MASK] .", "<S1> [MASK] , <S2>", "<S1-> ? [MASK] , <S2>"
    )  # fmt: skip
    assert sorted(tokenizer.convert_ids_to_tokens(closing_tokens(tokenizer))) == ["!", ".", "?"]


@pytest.mark.parametrize(
    ("task", "template", "words", "message"),
    [
        (ONE, "", (), "no prompt was published for task one: give one, such as template: '<S1> It was [MASK].'"),
        (PAIR, "", WORDS, "template: '<S1> [MASK], <S2>' and label_words: [a word for no, a word for yes]"),
        (find_task("wnli"), "", (), "no prompt was published for task wnli"),
        (ONE, "<S1> [MASK] <S2>", WORDS, "must hold, for task one, [MASK], <S1>, once each"),
        (PAIR, "<S1> [MASK]", WORDS, "must hold, for task pair, [MASK], <S1>, <S2>, once each"),
        (ONE, "<S1> is so", WORDS, "must hold, for task one"),
        (ONE, "<S1> <S1> [MASK]", WORDS, "once each"),
        (ONE, "<S1> [MASK]", ("sad", "great", "poor"), "2 different words are needed"),
        (ONE, "<S1> [MASK]", ("sad", "sad"), "2 different words are needed"),
        (find_task("stsb"), "", ("sad",), "a word for the lowest number, a word for the highest"),
    ],
)
def test_a_prompt_that_does_not_fit_is_refused(task: Task, template: str, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(MethodError, match=re.escape(message)) as refused:
        prompt_of(task, template, words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("terrible", "great"), "'terrible' must be one token of the encoder's vocabulary, but is not in it"),
        (("sad cat", "great"), "'sad cat' must be one token of the encoder's vocabulary, but is 2 tokens"),
        (("great", "Great"), "two of great, Great are the same token"),
    ],
)
def test_a_word_that_is_not_one_token_is_refused(
    encoders: dict[str, str], words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(MethodError, match=message):
        prepared(encoders["bert"], ONE, label_words=words)


@pytest.mark.parametrize("family", ["bert", POOLED])
def test_an_encoder_without_its_head_is_refused_before_anything_trains(bench: Bench, family: str) -> None:
    with pytest.raises(MethodError) as refused:
        prepared(bench.encoders[family], ONE)
    said = str(refused.value)
    assert "needs an encoder with its pretrained masked-language-modelling head" in said
    assert "its checkpoint lacks cls.predictions" in said
    assert "\n" not in said


def test_the_embedded_encoder_is_refused() -> None:
    with pytest.raises(MethodError, match="its checkpoint lacks cls.predictions"):
        prepared("minilm-l2", ONE)


def test_a_head_of_another_form_is_refused(encoders: dict[str, str], tmp_path: Path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(encoders["bert"], tie_word_embeddings=False)
    with torch.no_grad():
        model.cls.predictions.decoder.weight += 1
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(encoders["bert"]).save_pretrained(tmp_path)
    with pytest.raises(MethodError, match="is not one dense layer, a LayerNorm and the table of word embeddings"):
        prepared(str(tmp_path), ONE)


def test_numbers_are_a_mean_of_both_ends_and_the_loss_is_a_divergence() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn(6, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0.0, 5.0, 2.5, 1.0, 4.0, 3.0], dtype=torch.float64)
    p = scores.detach().softmax(dim=-1)
    q = torch.stack([1 - labels / 5, labels / 5], dim=-1)
    expected = torch.special.xlogy(q, q / p).sum(dim=-1).mean()
    assert divergence(scores, labels, [0.0, 5.0]).item() == pytest.approx(expected.item(), rel=1e-12)
    (slope,) = torch.autograd.grad(divergence(scores, 5 * p[:, 1], [0.0, 5.0]), scores)
    assert float(slope.abs().max()) < 1e-12, "no slope where p is q"
    beyond, end = (divergence(scores, torch.full_like(labels, label), [0.0, 5.0]).item() for label in (7.0, 5.0))
    assert beyond == end


def test_numbers_lie_between_the_ends(encoders: dict[str, str]) -> None:
    task = Task("numbers", "Numbers", ("a",), None, ("spearman",), origin="files")
    addition = prepared(encoders["bert"], task, template=TEMPLATES[ONE])
    assert addition.bounds == [0.0, 5.0]
    ids = torch.tensor([[2, 9, 11, 3]])
    addition.train()(ids, torch.ones_like(ids))
    assert addition.scores is not None
    assert addition.scores.shape == (1, 2)
    output = addition.eval()(ids, torch.ones_like(ids))
    assert output.shape == (1, 1)
    assert 0 < output.item() < 5
    assert addition.scores is None


def test_all_stands_for_methods_that_every_encoder_can_run() -> None:
    labels = [row.label for row in method_rows(["all"], "vanilla")]
    assert labels[0] == "vanilla"
    assert LMBFF.name not in labels
    assert [row.label for row in method_rows(["all", LMBFF.name], "vanilla")][-1] == LMBFF.name
