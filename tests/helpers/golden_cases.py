"""The tiny models of the reference numbers."""

import math

import torch
from transformers import BertConfig, BertForSequenceClassification

from amix.mixup.weight_mixup import WeightMixup
from helpers.official_cases import Case


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative to the largest expected entry."""
    scale = max(float(expected.abs().max()), 1e-300)
    return float((found.detach().double() - expected.double()).abs().max()) / scale


def tiny_bert(case: Case) -> BertForSequenceClassification:
    config = BertConfig(**case.hyperparameters["model"], attn_implementation="eager")
    model = BertForSequenceClassification(config).to(getattr(torch, case.hyperparameters["dtype"]))
    model.load_state_dict(case.group("init/"), strict=True)
    return model.train()


def golden_mixup(case: Case, model: torch.nn.Module) -> WeightMixup:
    """The mixup at the start of the case: W0, W and clamped attention."""
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
