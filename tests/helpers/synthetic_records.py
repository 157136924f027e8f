"""Synthetic plans and records: scores of known structure, written where a sweep would write them."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy

from amix.specs.run_spec import RunSpec
from amix.specs.store import Store, digest
from results.loading.layout import Layout

TASKS = {
    "cola": ("matthews", "CoLA", 10.0, 0.0),
    "rte": ("accuracy", "RTE", 60.0, 52.7),
    "mrpc": ("f1", "MRPC", 83.0, 81.2),
    "stsb": ("spearman", "STS-B", 80.0, 0.0),
    "sst2": ("accuracy", "SST-2", 85.0, 50.9),
    "qnli": ("accuracy", "QNLI", 75.0, 50.5),
    "qqp": ("f1", "QQP", 70.0, 0.0),
    "mnli": ("accuracy", "MNLI", 60.0, 35.4),
}
METHODS = ("vanilla", "agwm", "mixout", "lora", "r3f", "childtuning_d", "dps_dense", "topk_layers")


@dataclass
class Suite:
    """The structure of a suite's scores, in points: gains per method, standard deviations, and failures."""

    name: str = "toy"
    tasks: tuple[str, ...] = ("cola", "rte", "sst2")
    methods: tuple[str, ...] = ("vanilla", "agwm", "mixout", "lora")
    sizes: tuple[int | None, ...] = (100,)
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    gains: dict[str, float] = field(default_factory=lambda: {"agwm": 2.0})
    seed_sd: float = 1.5
    difference_sd: float = 1.0
    note: str = ""
    outcomes: dict[tuple[str, str, int], str] = field(default_factory=dict)  # (method, task, seed) -> status
    left_out: tuple[tuple[str, str, int], ...] = ()
    predictions: bool = False
    logits: tuple[str, ...] = ()  # splits whose logits are stored with the predictions
    endpoints: tuple[str, ...] = ("score",)
    looks: tuple[int, ...] = ()
    primary: tuple[tuple[str, str], ...] = ()
    epochs: int = 3
    encoder: str = "minilm-l6"
    split: str = "test"
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # label -> settings; the method is then agwm
    budget: int | None = None  # of a tuning; labels are then 'method setting'
    others: dict[str, tuple[str, ...]] = field(default_factory=dict)  # out-of-domain set -> the tasks scored on it
    searching: tuple[str, ...] = ()  # methods that store diagnostics of a search, as agwm does

    def spec(self, method: str, task: str, size: int | None, seed: int) -> RunSpec:
        if self.budget is not None:
            method, _, setting = method.partition(" ")
            return RunSpec(task, size, seed, method, self.encoder, {"setting": setting})
        config = {"strength": 0.5} | self.settings.get(method, {})
        name = "agwm" if method in self.settings else method
        return RunSpec(task, size, seed, name, self.encoder, config, training={"lr": 1e-4, "epochs": 10})


def plan(suite: Suite) -> dict[str, Any]:
    runs = [
        {"key": suite.spec(method, task, size, seed).key, "label": method, "task": task, "n_train": size, "seed": seed}
        for task in suite.tasks
        for size in suite.sizes
        for seed in suite.seeds
        for method in suite.methods
    ]
    focus = "agwm" if "agwm" in suite.methods else None
    others = [
        {
            "name": name,
            "title": name.upper(),
            "metric": "accuracy",
            "tasks": [task for task in suite.tasks if task in of],
        }
        for name, of in suite.others.items()
    ]
    more = ({"tuning": {"budget": suite.budget}} if suite.budget else {}) | (
        {"out_of_domain": others} if others else {}
    )
    return more | {
        "schema": 1,
        "suite": suite.name,
        "title": "Synthetic records",
        "note": suite.note,
        "command": f"python -m runners sweep --suite {suite.name}",
        "protocol": {"reference": suite.methods[0], "focus": focus, "alpha": 0.05, "selection": "last", "margin": 1.0,
                     "split": suite.split, "endpoints": list(suite.endpoints or ("score",)),
                     **({"looks": list(suite.looks)} if suite.looks else {}),
                     **({"primary": [list(pair) for pair in suite.primary]} if suite.primary else {})},
        "tasks": {
            task: {"metric": TASKS[task][0], "metrics": [TASKS[task][0]], "title": TASKS[task][1],
                   "higher_is_better": True, "footnote": "seen by the encoder" if task == "qnli" else ""}
            for task in suite.tasks
        },
        "methods": [{"label": name, "method": suite.spec(name, "", 1, 1).method, "paper": "Someone et al. 2020",
                     "year": 2020, "kind": "regulariser", "passes": 1.0} for name in suite.methods],
        "encoder": suite.encoder,
        "sizes": list(suite.sizes),
        "seeds": list(suite.seeds),
        "runs": runs,
    }  # fmt: skip


def _generator(*names: object) -> numpy.random.Generator:
    return numpy.random.default_rng(int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:8], "big"))


def score(suite: Suite, method: str, task: str, size: int | None, seed: int) -> float:
    """Points: task level + size effect + seed effect, shared by all methods + the method's gain + its noise."""
    shared = _generator("seed", task, size, seed).normal(0, suite.seed_sd)
    noise = _generator("own", method, task, size, seed).normal(0, suite.difference_sd)
    growth = 3.0 * numpy.log((size or 5000) / 100)
    return float(numpy.clip(TASKS[task][2] + growth + shared + noise + suite.gains.get(method, 0.0), -99, 99))


def other_score(suite: Suite, other: str, method: str, task: str, size: int | None, seed: int) -> float:
    """Points on an out-of-domain set: ten below the task's test set, with additional noise."""
    return (
        score(suite, method, task, size, seed) - 10 + float(_generator(other, method, task, size, seed).normal(0, 0.5))
    )


def record(suite: Suite, method: str, task: str, size: int | None, seed: int) -> dict[str, Any]:
    spec = suite.spec(method, task, size, seed)
    metric, majority = TASKS[task][0], TASKS[task][3]
    status = suite.outcomes.get((method, task, seed), "ok")
    points = score(suite, method, task, size, seed)
    scores = {metric: points / 100}
    dev = {metric: (points + 0.5) / 100}
    splits = {"dev": dev} | ({"test": scores} if suite.split == "test" else {})
    others = {
        name: {"accuracy": other_score(suite, name, method, task, size, seed) / 100}
        for name, tasks in suite.others.items()
        if task in tasks
    }
    splits |= {"out_of_domain": others} if others else {}
    majorities = {name: {"n": 900, "majority": {"accuracy": 0.4}} for name in others}
    factor = 1 + suite.methods.index(method)
    steps = 20 * suite.epochs
    curve = [
        {"stage": "train", "step": 20 * (i + 1), "epoch": i + 1, "train_loss": 0.7 / (i + 1),
         "dev": {metric: dev[metric] * (i + 1) / suite.epochs}}
        for i in range(suite.epochs)
    ]  # fmt: skip
    error = None if status == "ok" else {"type": "FloatingPointError", "message": "loss is nan at step 7",
                                         "traceback": "Traceback (most recent call last):\n  ..."}  # fmt: skip
    return {
        "schema": 1, "key": spec.key, "suite": suite.name, "label": method, "status": status, "error": error,
        "spec": spec.as_dict(),
        "data": {"ids_sha256": "0" * 64, "n_train": size or 5000, "n_dev": 50, "n_test": 300,
                 "label_counts": {"0": 50, "1": 50}, "majority": {metric: majority / 100},
                 "majority_dev": {metric: majority / 100}, "label_names": ["no", "yes"],
                 "source": "embedded"} | ({"out_of_domain": majorities} if others else {}),
        "scores": {} if status != "ok" else {"last": splits, "best_dev": splits | {"epoch": suite.epochs}},
        "curve": curve if status == "ok" else curve[:1],
        "cost": {"train_seconds": 10.0 * factor + seed % 3, "total_seconds": 12.0 * factor, "evaluation_seconds": 1.5,
                 "forward_passes": steps * factor, "backward_passes": steps * factor, "optimizer_steps": steps,
                 "peak_memory_bytes": 500_000_000 * factor, "trainable_parameters": 11_000_000 // factor,
                 "total_parameters": 22_000_000, "flops": 1e12 * factor},
        "environment": {"git_commit": "a" * 40, "git_dirty": False, "python": "3.11.7", "packages": {"torch": "2.13.0"},
                        "device": "cpu", "precision": "fp32", "threads": 1, "command": "python -m runners sweep",
                        "time": "2026-11-23T05:00:00+00:00"},
    }  # fmt: skip


def arrays(suite: Suite, method: str, task: str, seed: int) -> dict[str, numpy.ndarray]:
    """Predictions for a binary task, 80 % of them correct, with logits and diagnostics as the suite asks."""
    labels = _generator("labels", task).integers(0, 2, 300)
    right = _generator("right", method, task, seed).random(300) < 0.8
    content = {"test_predictions": numpy.where(right, labels, 1 - labels), "test_labels": labels}
    for split in suite.logits:
        content |= logits(suite, method, task, seed, split)
    return content | (search(method, task, seed) if method in suite.searching else {})


def logits(suite: Suite, method: str, task: str, seed: int, split: str) -> dict[str, numpy.ndarray]:
    """Logits of a split with its labels, calibrated after division by `overconfidence`; one column for regression."""
    truth = arrays(replace(suite, logits=()), method, task, seed)["test_labels"]
    if TASKS[task][0] == "spearman":
        return {f"{split}_logits": truth[:, None] + 0.5, f"{split}_labels": truth}
    # The predicted class has probability 0.8 and is correct in 80 % of cases.
    right = _generator("right", method, task, seed).random(300) < 0.8
    predicted = numpy.where(right, truth, 1 - truth)
    values = overconfidence(method) * numpy.log(4.0) * numpy.eye(2)[predicted]
    return {f"{split}_logits": values.astype(numpy.float32), f"{split}_labels": truth}


def overconfidence(method: str) -> float:
    """Factor on a method's calibrated logits."""
    return {"vanilla": 3.0, "agwm": 5.0}.get(method, 1.0)


def search(method: str, task: str, seed: int) -> dict[str, numpy.ndarray]:
    """Diagnostics of a search (2 splits, 12 iterations) over two layers and the pooler; attention falls with depth."""
    generator = _generator("search", method, task, seed)
    kinds = ("attention.self.query", "attention.output.dense", "output.dense")
    modules = [f"bert.encoder.layer.{layer}.{kind}" for layer in range(2) for kind in kinds] + ["bert.pooler.dense"]
    depth = numpy.linspace(0, 0.1, len(modules))
    mean = 1 - depth * numpy.linspace(0, 1, 12)[:, None] - generator.uniform(0, 0.01, (2, 12, len(modules)))
    deciles = mean[:, -1:, :, None] + numpy.linspace(-0.05, 0.05, 11).clip(None, 0.0)
    loss = 0.7 - 0.02 * numpy.arange(12) + generator.normal(0, 0.01, (2, 12))
    diagnostics = {
        "attention_mean": mean, "attention_min": mean - 0.05, "attention_at_one": 1 - mean, "lower_loss": loss,
        "upper_loss": loss[:, ::2] + 0.05, "task_share": mean[:, -1:] ** 2, "pretrained_share": (1 - mean[:, -1:]) ** 2,
        "attention_deciles": deciles, "attention_iteration": numpy.tile(numpy.arange(1, 12, 2), (2, 1)),
        "modules": numpy.asarray(modules),
    }  # fmt: skip
    return {f"diagnostics/search/{name}": values for name, values in diagnostics.items()}


def write(suite: Suite, out: Path) -> Layout:
    """Write the suite's plan and records into a folder, and return its layout."""
    layout = Layout(out)
    store = Store(layout.records / suite.name)
    store.folder.mkdir(parents=True)
    layout.plan(suite.name).write_text(json.dumps(plan(suite)))
    for task in suite.tasks:
        for size in suite.sizes:
            for seed in suite.seeds:
                for method in suite.methods:
                    if (method, task, seed) not in suite.left_out:
                        content = record(suite, method, task, size, seed)
                        store.path(content["key"]).write_text(json.dumps(content | {"digest": digest(content)}))
                        if suite.predictions and content["status"] == "ok":
                            numpy.savez(
                                store.path(content["key"]).with_suffix(".npz"), **arrays(suite, method, task, seed)
                            )
    return layout
