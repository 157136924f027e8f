"""What a run costs: seconds, passes, FLOPs, peak memory."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from amix.models.architecture import embeddings, trainable


@dataclass
class Cost:
    """Counters of one run. A pass counts when it builds a graph, so evaluation is left out.

    One call of backward goes through all forward passes since the last one, or, where there were none, through those of
    the last one again, and counts as many. open_passes: forward passes that no backward pass has gone through yet;
    passed_through: how many the last call went through. stages_peak: bytes at the highest peak of the processes that
    did stages of the run, 0 where there were none.
    """

    forward_passes: int = 0
    backward_passes: int = 0
    optimizer_steps: int = 0
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    open_passes: int = 0
    passed_through: int = 1
    stages_peak: int = 0

    def watch(self, model: nn.Module) -> None:
        """Count every forward pass of this model from now on, whoever calls it."""

        def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if torch.is_grad_enabled():
                self.count_forward()
                tokens = kwargs.get("attention_mask")
                self.tokens += tokens.numel() if isinstance(tokens, torch.Tensor) else 0

        model.register_forward_pre_hook(count, with_kwargs=True)

    def count_forward(self) -> None:
        """One forward pass; a method that doubles its batch calls it once more."""
        self.forward_passes += 1
        self.open_passes += 1

    def count_backward(self) -> None:
        """One call of backward or of autograd.grad, whatever it went through."""
        self.passed_through = self.open_passes or self.passed_through
        self.open_passes = 0
        self.backward_passes += self.passed_through

    def add(self, stage: "Cost") -> None:
        """Take in what a stage of the run cost that was done in another process."""
        self.forward_passes += stage.forward_passes
        self.backward_passes += stage.backward_passes
        self.optimizer_steps += stage.optimizer_steps
        self.tokens += stage.tokens
        self.stages_peak = max(self.stages_peak, stage.stages_peak)
        for name, seconds in stage.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to a named sum."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def summary(self, model: nn.Module) -> dict[str, Any]:
        """The record's cost block for the model that was trained.

        flops is an estimate: 2 per weight outside the embeddings and token for a forward pass, twice that for a
        backward pass.
        """
        total = sum(parameter.numel() for parameter in model.parameters())
        weights = total - sum(parameter.numel() for parameter in embeddings(model).parameters())
        share = self.backward_passes / self.forward_passes if self.forward_passes else 0.0
        return {
            "train_seconds": self.seconds.get("train", 0.0),
            "evaluation_seconds": self.seconds.get("evaluation", 0.0),
            "forward_passes": self.forward_passes,
            "backward_passes": self.backward_passes,
            "optimizer_steps": self.optimizer_steps,
            "peak_memory_bytes": max(peak_memory(), self.stages_peak),
            "trainable_parameters": sum(parameter.numel() for parameter in trainable(model)),
            "total_parameters": total,
            "flops": 2.0 * weights * self.tokens * (1.0 + 2.0 * share),
        }


def reset_peak_memory() -> None:
    """Start measuring the peak anew, where the platform allows it (CUDA, Linux)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    # Elsewhere the peak is the process's, which is an upper bound for the run's.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Bytes at the peak: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
