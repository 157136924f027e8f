"""The overhead of the training loop over the passes and updates that any loop must do.

`python -m runners.benchmarks.loop ENCODER TASK SIZE REPEATS` measures and prints both times. It is started in its own
process with the environment of a sweep's workers, because that is where runs are done.
"""

import os
import subprocess
import sys
import time

import torch

from amix.data.encoded import Batch
from amix.data.splits import load_splits
from amix.models.loading import load_model, load_tokenizer
from amix.specs.encoders import find_encoder
from amix.specs.tasks import find_task
from amix.training.fit import Fit, accelerator
from amix.training.loop import train
from amix.training.method import Method
from results.loading.layout import ROOT
from runners.sweeping.local_pool import WORKER_ENVIRONMENT

SEED = 0


def overhead(encoder: str, task_name: str, size: int, repeats: int) -> tuple[float, float]:
    """Seconds of plain finetuning in our loop, and of its bare passes and updates, as in a sweep's worker."""
    find_task(task_name)  # Reports a mistake in one line, before the processes start.
    load_tokenizer(encoder)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "runners.benchmarks.loop",
        encoder,
        task_name,
        str(size),
        str(repeats),
    ]
    environment = os.environ | WORKER_ENVIRONMENT
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring the loop failed: {done.stderr.strip().splitlines()[-1]}")
    ours, bare = map(float, done.stdout.split()[-2:])
    return ours, bare


def measured_here(encoder: str, task_name: str, size: int, repeats: int) -> tuple[float, float]:
    """The same measured in this process: the fastest of `repeats` measurements each.

    The two alternate, so that a slowdown of the machine affects both.
    """
    torch.set_num_threads(1)
    task, recipe = find_task(task_name), find_encoder(encoder).recipe
    splits = load_splits(task, size, SEED, load_tokenizer(encoder), encoder, recipe.max_length)

    def fit() -> Fit:
        return Fit(task, recipe, SEED, splits.train, splits.dev)

    _bare_seconds(encoder, fit())  # The first passes of a process include its warm-up.
    pairs = [(_our_seconds(encoder, fit()), _bare_seconds(encoder, fit())) for _ in range(repeats)]
    return min(ours for ours, _ in pairs), min(bare for _, bare in pairs)


def _our_seconds(encoder: str, fit: Fit) -> float:
    model = load_model(encoder, fit.task, SEED).to(accelerator().device)
    train(Method(), model, fit)
    return fit.cost.seconds["train"]


def _bare_seconds(encoder: str, fit: Fit) -> float:
    model = load_model(encoder, fit.task, SEED).to(accelerator().device)
    method = Method()
    optimizer = method.optimizer(method.param_groups(model, fit), fit)
    batches = [batch for epoch in range(fit.recipe.epochs) for batch in fit.batches(epoch)]
    _wait_for_device()
    started = time.perf_counter()
    for batch in batches:
        _bare_loss(model, batch, fit).backward()
        optimizer.step()
        optimizer.zero_grad()
    _wait_for_device()
    return time.perf_counter() - started


def _bare_loss(model: torch.nn.Module, batch: Batch, fit: Fit) -> torch.Tensor:
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with accelerator().autocast():
        logits = model(**inputs).logits
    return fit.task_loss(logits.float(), batch)


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    print(*measured_here(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
