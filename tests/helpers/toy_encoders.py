"""Four tiny random encoders with one tokenizer, and a separable toy task with classes or numbers as labels."""

import gc
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import torch
import yaml
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    MPNetConfig,
    PretrainedConfig,
    RobertaConfig,
)

from amix.models.loading import empty_classifier
from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.specs.encoders import ENCODERS, Encoder
from amix.specs.recipe import Recipe
from amix.specs.run_spec import RunSpec
from amix.specs.tasks import find_task
from amix.training.registry import find_method
from amix.training.settings import full_settings

GOOD, BAD = ("fine", "lovely", "great", "happy"), ("awful", "sad", "poor", "dull")
FILLERS = ("the", "a", "one", "cat", "dog", "tree", "house", "river", "bird", "walks", "sings", "sleeps", "over")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *FILLERS)
ROWS = 144
RECIPE = Recipe(lr=8e-3, epochs=5, max_length=24)
MEANS_LEARN_IN = 0.7
"""Part of the epochs that a method needs to learn the toy task if the encoder pools by the mean of the words."""
SHORT = Recipe(lr=8e-3, epochs=2, steps=12, max_length=24)
"""Long enough for two different runs to differ."""
FAMILIES = ("bert", "roberta", "deberta-v2")
POOLED = "bert-mean"
"""The same BERT, with mean pooling."""
MPNET = "mpnet-mean"
"""An MPNet with mean pooling; its blocks share a relative position bias and name their parts differently."""


def configuration(family: str) -> PretrainedConfig:
    """Two layers of width 32 with dropout 0.1."""
    common: dict[str, Any] = {
        "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 40, "pad_token_id": 0, "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1, "initializer_range": 0.1,
    }  # fmt: skip
    if family == "bert":
        return BertConfig(**common)
    if family == "roberta":
        return RobertaConfig(**common, type_vocab_size=1)
    if family == "mpnet":
        return MPNetConfig(**common)
    return DebertaV2Config(**common, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8)


def save_encoder(family: str, folder: Path, kind: Any = AutoModelForSequenceClassification) -> str:
    """Save the family's random encoder, with a head of this kind, and the tokenizer in a folder."""
    torch.manual_seed(11)
    kind.from_config(configuration(family)).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate(VOCABULARY)})
    if family in ("roberta", "mpnet"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_encoders(folder: Path) -> dict[str, str]:
    """Save all encoders; the mean-pooled ones get aliases.

    Returns:
        By name, the folder or alias for RunContext.encoder.
    """
    names = {family: save_encoder(family, folder / family) for family in FAMILIES}
    ENCODERS[POOLED] = Encoder(POOLED, names["bert"], pooling="mean")
    ENCODERS[MPNET] = Encoder(MPNET, save_encoder("mpnet", folder / "mpnet"), pooling="mean")
    return names | {POOLED: POOLED, MPNET: MPNET}


def save_language_models(folder: Path) -> dict[str, str]:
    """The same encoders with random heads of masked language modelling, by the same names."""
    names = {family: save_encoder(family, folder / family, AutoModelForMaskedLM) for family in (*FAMILIES, "mpnet")}
    for alias, family in ((POOLED, "bert"), (MPNET, "mpnet")):
        ENCODERS[f"{alias}-lm"] = Encoder(f"{alias}-lm", names[family], pooling="mean")
    return names | {POOLED: f"{POOLED}-lm", MPNET: f"{MPNET}-lm"}


def sentences(rows: int, seed: int) -> pandas.DataFrame:
    """Sentences with five good or bad words; label: whether good ones prevail, score: number of good ones."""
    random = numpy.random.default_rng(seed)
    content = []
    for row in range(rows):
        score = (0, 1, 4, 5)[row % 4]
        polar = [*random.choice(GOOD, score), *random.choice(BAD, 5 - score)]
        words = random.permutation([*polar, *random.choice(FILLERS, random.integers(3, 8))])
        content.append({"sentence": " ".join(words), "label": "positive" if score > 2 else "negative", "score": score})
    return pandas.DataFrame(content)


def save_tasks(folder: Path) -> dict[str, str]:
    """Save the toy task in both forms.

    Returns:
        The YAML file of each, by name.
    """
    sentences(200, 1).to_csv(folder / "train.csv", index=False)
    sentences(120, 2).to_csv(folder / "test.csv", index=False)
    common = {"train": "train.csv", "test": "test.csv", "text": "sentence"}
    tasks = {
        "toy": common | {"name": "toy", "labels": ["negative", "positive"]},
        "toy-score": common | {"name": "toy-score", "label": "score"},
    }
    for name, content in tasks.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return {name: str(folder / f"{name}.yaml") for name in tasks}


Run = tuple[dict[str, Any], dict[str, numpy.ndarray]]


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Flush subnormal numbers to zero: a learnt toy task has such gradients, and they take a CPU 30 times as long."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class Bench:
    """Runs of any method on the toy task, from spec to record, with a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.encoders = save_encoders(folder / "encoders")
        self.language_models = save_language_models(folder / "language-models")
        self.tasks = save_tasks(folder)
        self.cache: dict[tuple[str, ...], Run] = {}

    def execute(
        self,
        method: str,
        family: str,
        task: str = "toy",
        settings: Mapping[str, Any] | None = None,
        recipe: Recipe = SHORT,
        seed: int = 1,
        **context: Any,
    ) -> Run:
        """Execute one run without the cache; further keywords go to its RunContext."""
        gc.freeze()  # A run ends with a garbage collection, which need not visit torch's objects every time.
        encoders = self.language_models if find_method(method).info.needs_language_model else self.encoders
        changes = self.toy_settings(method, encoders[family]) if settings is None else settings
        config = full_settings(find_method(method), changes)
        spec = RunSpec(task, ROWS, seed, method, family, method_config=config, training=recipe.as_dict())
        return execute(spec, RunContext(encoder=encoders[family], task_files={spec.task: self.tasks[task]}, **context))

    def toy_settings(self, method: str, encoder: str) -> dict[str, Any]:
        """The method's settings for the toy task; of its targets those that this encoder has."""
        settings = dict(find_method(method).info.toy_settings)
        if targets := settings.get("targets"):
            names = [f".{name}" for name, _ in empty_classifier(encoder, find_task("mini-cola")).named_modules()]
            settings["targets"] = [one for one in targets if any(name.endswith(f".{one}") for name in names)]
        return settings

    def learnt(self, method: str, family: str) -> Run:
        """The run in which the method learns the toy task, with its model exported."""
        export = str(self.exported(method, family))
        epochs = find_method(method).info.toy_epochs or RECIPE.epochs
        if family in (POOLED, MPNET):
            epochs = math.ceil(MEANS_LEARN_IN * epochs)
        recipe = replace(RECIPE, epochs=epochs)
        with subnormals_as_zero():
            return self.once(
                ("learnt", method, family), lambda: self.execute(method, family, recipe=recipe, export=export)
            )

    def short(self, method: str, family: str) -> Run:
        """A run of a few steps."""
        return self.once(("short", method, family), lambda: self.execute(method, family))

    def once(self, key: tuple[str, ...], run: Callable[[], Run]) -> Run:
        """The cached result of this key, or else that of `run`."""
        if key not in self.cache:
            self.cache[key] = run()
        return self.cache[key]

    def exported(self, method: str, family: str) -> Path:
        """Folder of the exported model that learnt the toy task."""
        return self.folder / "exports" / f"{method}-{family}"
