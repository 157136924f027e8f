"""Make the cases setfit_classes and setfit_unbalanced by running setfit 1.2.0 on a tiny random encoder.

The library is not a dependency; run this in a separate environment:

    pip install setfit==1.2.0 sentence-transformers==6.2.0
    python tests/baselines/parity/golden/make_setfit.py

The numbers are float32 on the CPU with one thread. Trainer, pairs, batches, optimizer and schedule are the library's;
a wrapper of its loss records batches and losses. Dropout is 0.
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy
import setfit
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, models
from setfit.sampler import ContrastiveDataset
from transformers import BertConfig, BertModel, BertTokenizer

FOLDER = Path(__file__).parent
LIST, ARRAYS = FOLDER / "cases.json", FOLDER / "cases.npz"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{number}" for number in range(20)))
MODEL: dict[str, Any] = {
    "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 16, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "initializer_range": 0.2, "pad_token_id": 0,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "setfit_classes": {"labels": [0, 1, 2] * 4, "num_iterations": 3, "lr": 1e-3, "batch_size": 8, "max_steps": -1},
    "setfit_unbalanced": {"labels": [0] * 7 + [1] * 3, "num_iterations": None, "lr": 2e-3, "batch_size": 6,
                          "max_steps": -1},
}  # fmt: skip


class Recording(setfit.trainer.losses.CosineSimilarityLoss):  # type: ignore[misc]
    """The library's loss, which also records its inputs and its values."""

    recorded: list[tuple[Any, Any, Any, float]] = []

    def forward(self, sentence_features: Any, labels: Any) -> Any:
        features = list(sentence_features)
        loss = super().forward(features, labels)
        self.recorded.append((*(texts["input_ids"].clone() for texts in features), labels.clone(), float(loss)))
        return loss


def encoder(folder: Path) -> SentenceTransformer:
    """A random BERT with mean pooling."""
    torch.manual_seed(3)
    BertModel(BertConfig(**MODEL), add_pooling_layer=False).save_pretrained(folder)
    BertTokenizer(vocab={word: index for index, word in enumerate(WORDS)}).save_pretrained(folder)
    transformer = models.Transformer(str(folder), max_seq_length=16)
    return SentenceTransformer(modules=[transformer, models.Pooling(16, pooling_mode="mean")], device="cpu")


def texts(count: int) -> list[str]:
    """Different sentences of different lengths."""
    random = numpy.random.default_rng(5)
    return [" ".join(random.choice(WORDS[5:], 3 + number % 5)) for number in range(count)]


def place(row: torch.Tensor, tokens: list[list[int]]) -> int:
    """Index of the text in a padded row of a batch."""
    return tokens.index([int(token) for token in row if token])


def make(name: str) -> None:
    """Run the library on one case and store its numbers."""
    given = CASES[name]
    sentences = texts(len(given["labels"]))
    Recording.recorded.clear()
    with tempfile.TemporaryDirectory() as folder:
        body = encoder(Path(folder) / "encoder")
        start = {key: value.clone() for key, value in body[0].auto_model.state_dict().items()}
        tokens = [body.tokenizer(sentence)["input_ids"] for sentence in sentences]
        arguments = setfit.TrainingArguments(
            output_dir=folder, batch_size=given["batch_size"], num_epochs=1, max_steps=given["max_steps"],
            num_iterations=given["num_iterations"], body_learning_rate=given["lr"], loss=Recording,
            report_to="none", save_strategy="no",
        )  # fmt: skip
        model = setfit.SetFitModel(model_body=body, model_head=setfit.modeling.LogisticRegression())
        trainer = setfit.Trainer(
            model=model, args=arguments, train_dataset=Dataset.from_dict({"text": sentences, "label": given["labels"]})
        )
        trainer.train_embeddings(sentences, given["labels"], args=arguments)
        embeddings = body.encode(sentences, convert_to_numpy=True)
    sampled = list(ContrastiveDataset(sentences, given["labels"], False, given["num_iterations"], "oversampling"))
    arrays: dict[str, Any] = {f"init/{key}": value.numpy() for key, value in start.items()}
    longest = max(map(len, tokens))
    arrays["input_ids"] = numpy.array([row + [0] * (longest - len(row)) for row in tokens])
    arrays["labels"] = numpy.array(given["labels"])
    for column in ("sentence_1", "sentence_2"):
        arrays[f"pairs/{column}"] = numpy.array([sentences.index(pair[column]) for pair in sampled])
    arrays["pairs/label"] = numpy.array([pair["label"] for pair in sampled])
    steps = len(Recording.recorded)
    for which, column in enumerate(("first", "second")):
        rows = numpy.full((steps, given["batch_size"]), -1)
        for step, batch in enumerate(Recording.recorded):
            rows[step, : len(batch[which])] = [place(row, tokens) for row in batch[which]]
        arrays[f"batch/{column}"] = rows
    arrays["loss"] = numpy.array([batch[3] for batch in Recording.recorded])
    arrays["embeddings"] = embeddings
    with numpy.load(ARRAYS, allow_pickle=False) as stored:
        others = {key: stored[key] for key in stored.files if not key.startswith(f"{name}/")}
    numpy.savez_compressed(ARRAYS, **others, **{f"{name}/{key}": values for key, values in arrays.items()})
    listed = {entry["name"]: entry for entry in json.loads(LIST.read_text(encoding="utf-8"))}
    listed[name] = described(name, steps)
    text = json.dumps([listed[key] for key in sorted(listed)], indent=1, ensure_ascii=False)
    LIST.write_text(text + "\n", encoding="utf-8")


def described(name: str, steps: int) -> dict[str, Any]:
    """The case's description."""
    versions = {package: version(package) for package in ("setfit", "sentence-transformers", "transformers", "torch")}
    return {
        "name": name,
        "source": {"package": "setfit", "versions": versions, "script": "tests/baselines/parity/golden/make_setfit.py"},
        "hyperparameters": {**CASES[name], "model": MODEL, "dtype": "float32", "steps": steps, "warmup_ratio": 0.1},
        "formula": ["mean over the pairs of a batch of (cos(f_i, f_j) - [y_i = y_j])^2, f: mean of the token states"],
        "tolerance": {"loss": 1e-5, "embeddings": 1e-5, "pairs": "exact", "kind": "relative to the largest entry"},
        "notes": ["batch/* holds the positions of the texts of every step, -1 where the last batch is shorter."],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in CASES:
        make(case)
