"""The cost of a run: seconds, passes, FLOPs, peak memory."""

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
    """Counters of one run. Only passes that build a graph count, so evaluation does not.

    A call of backward goes through all forward passes since the previous call, or, if there were none, through the same
    ones again; it counts as that many backward passes.

    Attributes:
        seconds: Seconds by name, see timed.
        open_passes: Forward passes that no backward pass has gone through yet.
        passed_through: Number of forward passes that the last call of backward went through.
        stages_peak: Highest peak, in bytes, of the processes that ran stages of the run; 0 if there were none.
        same_pass: Whether passes go uncounted, because they take a further part of a batch that was counted already.
        redrawn_masks: Attention calls with other dropout masks than the whole batch's (amix.training.micro_batches).
    """

    forward_passes: int = 0
    backward_passes: int = 0
    optimizer_steps: int = 0
    tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    open_passes: int = 0
    passed_through: int = 1
    stages_peak: int = 0
    same_pass: bool = False
    redrawn_masks: int = 0

    def watch(self, model: nn.Module) -> None:
        """Count every forward pass of this model from now on, whatever calls it."""

        def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if torch.is_grad_enabled():
                self.count_forward()
                tokens = kwargs.get("attention_mask")
                self.tokens += tokens.numel() if isinstance(tokens, torch.Tensor) else 0

        model.register_forward_pre_hook(count, with_kwargs=True)

    def count_forward(self) -> None:
        """Count one forward pass; a method that doubles its batch calls this once more."""
        if self.same_pass:
            return
        self.forward_passes += 1
        self.open_passes += 1

    def count_backward(self) -> None:
        """Count one call of backward or autograd.grad."""
        if self.same_pass:
            return
        self.passed_through = self.open_passes or self.passed_through
        self.open_passes = 0
        self.backward_passes += self.passed_through

    def add(self, stage: "Cost") -> None:
        """Add the cost of a stage that ran in another process."""
        self.forward_passes += stage.forward_passes
        self.backward_passes += stage.backward_passes
        self.optimizer_steps += stage.optimizer_steps
        self.tokens += stage.tokens
        self.redrawn_masks += stage.redrawn_masks
        self.stages_peak = max(self.stages_peak, stage.stages_peak)
        for name, seconds in stage.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to the sum of this name."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def summary(self, model: nn.Module) -> dict[str, Any]:
        """Return the record's cost block.

        flops is an estimate: per token, 2 for every weight outside the embeddings in a forward pass, and twice that in
        a backward pass.

        Args:
            model: The model that was trained.
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
    """Restart the measurement of the peak, if the platform allows it (CUDA, Linux)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    # On other platforms the peak is that of the whole process, an upper bound for the run's.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def leave_gpu() -> int | None:
    """Give memory that torch keeps back to the GPU.

    Returns:
        The most bytes that it kept, 0 without a GPU; None if the GPU no longer responds to this process, as after an
        assertion in a kernel.
    """
    if not torch.cuda.is_available():
        return 0
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except RuntimeError:
        return None
    return int(torch.cuda.max_memory_reserved())


def peak_memory() -> int:
    """Return the peak in bytes: of the GPU if there is one, else of the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
