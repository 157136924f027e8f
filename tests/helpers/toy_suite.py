"""A suite that runs in seconds: a random encoder of two narrow layers on the embedded tasks."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from amix.models.loading import load_tokenizer

SUITE = """
name: tiny
title: Tiny
note: for tests
encoder: {encoder}
tasks: [{tasks}]
sizes: [{sizes}]
seeds: [1, 2]
methods: [{methods}]
training: {{lr: 5e-3, epochs: {epochs}, max_length: 32}}
"""


def save_encoder(folder: Path, positions: int = 64) -> Path:
    """Save a BERT with random weights and a real tokenizer in a folder that transformers can load."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = load_tokenizer("minilm-l6")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=positions, initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_suite(
    folder: Path,
    encoder: Path | str,
    tasks: str = "mini-cola, mini-stsb",
    sizes: str = "24",
    methods: str = "vanilla, mixout, topk_layers",
    epochs: int = 2,
) -> Path:
    """Write the suite's file into this folder."""
    path = folder / "tiny.yaml"
    path.write_text(SUITE.format(encoder=encoder, tasks=tasks, sizes=sizes, methods=methods, epochs=epochs))
    return path


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of these processes is running; zombies are not."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
