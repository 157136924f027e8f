"""Reading the reference numbers of the attention-guided mixup, and the tiny models they belong to."""

import json
import math
from pathlib import Path
from typing import Any

import numpy
import torch
from transformers import BertConfig, BertForSequenceClassification

from amix.mixup.weight_mixup import WeightMixup

TESTS = Path(__file__).parents[1]


def folder_of(name: str) -> Path:
    """Where a case lies: those of the mixup beside its tests, the others beside the parity tests."""
    return TESTS / ("amix" if name.startswith("agwm_") else "baselines/parity") / "golden"


class Case:
    """One case: hyperparameters, tolerances, arrays."""

    def __init__(self, name: str) -> None:
        self.name = name
        entry = json.loads((folder_of(name) / f"{name}.json").read_text())
        self.hyperparameters: dict[str, Any] = entry["hyperparameters"]
        self.tolerance: dict[str, Any] = entry["tolerance"]
        with numpy.load(folder_of(name) / f"{name}.npz", allow_pickle=False) as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[key].copy())

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        return {key[len(prefix) :]: self.tensor(key) for key in self.arrays if key.startswith(prefix)}

    def batch(self, prefix: str, iteration: int | None = None) -> dict[str, torch.Tensor]:
        return {k: v if iteration is None else v[iteration] for k, v in self.group(f"{prefix}/").items()}


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative to the largest entry expected."""
    scale = max(float(expected.abs().max()), 1e-300)
    return float((found.detach().double() - expected.double()).abs().max()) / scale


def tiny_bert(case: Case) -> BertForSequenceClassification:
    config = BertConfig(**case.hyperparameters["model"], attn_implementation="eager")
    model = BertForSequenceClassification(config).to(getattr(torch, case.hyperparameters["dtype"]))
    model.load_state_dict(case.group("init/"), strict=True)
    return model.train()


def golden_mixup(case: Case, model: torch.nn.Module) -> WeightMixup:
    """The mixup at the start of the case: W0, W, clamped attention."""
    mixup = WeightMixup(model)
    with torch.no_grad():
        for name, weight in case.group("init_W/").items():
            mixup.lower[name].copy_(weight)
        for name, factor in mixup.named_attention().items():
            raw = f"alpha_raw0/{name}"
            factor.copy_(case.tensor(raw) if raw in case.arrays else case.tensor(f"alpha/{name}")[0])
    mixup.clamp()
    mixup.write()
    return mixup


def linear_rate(step: int, length: int, warmup: int) -> float:
    return step / max(1, warmup) if step < warmup else max(0.0, (length - step) / max(1, length - warmup))


def cosine_rate(step: int, length: int, warmup: float) -> float:
    if step < warmup:
        return step / max(1.0, warmup)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, length - warmup)))
