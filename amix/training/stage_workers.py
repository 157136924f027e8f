"""Independent stages of a run on other processes, such as the splits of a search.

Such a stage is a pure function of the run's spec and the stage's number. Done elsewhere, it leaves one file with its
weights, its stretch of the curve, its diagnostics and its cost; the run takes the files in the order of the numbers, so
that every sum is made in the order of a run without other processes, and on the CPU the result is the same to the bit.

Memory: every process that does a stage holds a model, its optimizer and its activations, as the run alone does.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from amix.training.cost import Cost, peak_memory
from amix.training.fit import Fit

Weights = dict[str, torch.Tensor]
_WEIGHT, _NUMBERS = "weight/", "diagnostics/"


def save_stage(weights: Weights, fit: Fit, path: Path) -> None:
    """Write what a stage leaves; fit is the one it was done with and with nothing else.

    Diagnostics are numbers, one array per stage, or words (names of modules) that are the same for every stage.
    """
    arrays = {f"{_WEIGHT}{name}": tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    words: dict[str, list[str] | None] = {}
    for name, values in fit.diagnostics.items():
        words[name] = values if isinstance(values[0], str) else None
        if words[name] is None:
            arrays[f"{_NUMBERS}{name}"] = torch.from_numpy(numpy.stack(values))
    fit.cost.stages_peak = peak_memory()
    content = {"names": list(weights), "curve": fit.curve, "diagnostics": words, "cost": asdict(fit.cost)}
    save_file(arrays, path, metadata={"stage": json.dumps(content)})


def take_stage(path: Path, fit: Fit) -> Weights:
    """The weights in a stage's file; its curve, diagnostics and cost are added to those of fit."""
    with safe_open(path, framework="pt") as stored:
        content: dict[str, Any] = json.loads(stored.metadata()["stage"])
        for name, words in content["diagnostics"].items():
            if words is None:
                fit.diagnostics.setdefault(name, []).extend(stored.get_tensor(f"{_NUMBERS}{name}").numpy())
            else:
                fit.diagnostics[name] = words
        weights = {name: stored.get_tensor(f"{_WEIGHT}{name}") for name in content["names"]}
    fit.curve.extend(content["curve"])
    fit.cost.add(Cost(**content["cost"]))
    return weights


@dataclass(frozen=True)
class RemoteStages:
    """The independent stages of one run on an executor, each to be fetched once, and the folder of their files."""

    futures: list[Future[None]]
    folder: Path

    def take(self, number: int, fit: Fit) -> Weights:
        """Wait for a stage and take it in; an error that ended it is raised here."""
        self.futures[number].result()
        path = stage_file(self.folder, number)
        weights = take_stage(path, fit)
        path.unlink()
        return weights


def stage_file(folder: Path, number: int) -> Path:
    """Where a stage leaves its file."""
    return folder / f"stage-{number}.safetensors"


@contextmanager
def remote_stages(
    executor: Executor | None, count: int, task: Callable[..., None], *arguments: Any
) -> Iterator[RemoteStages | None]:
    """Start all stages on the executor, as task(*arguments, number, path); None without executor or without stages.

    The folder of their files is tempfile's, which the executor's processes must see as this one does.
    """
    if executor is None or count == 0:
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        futures = [executor.submit(task, *arguments, number, stage_file(folder, number)) for number in range(count)]
        try:
            yield RemoteStages(futures, folder)
        finally:
            for future in futures:
                future.cancel()
