"""Running the independent stages of a run, such as the splits of a search, in other processes.

A stage is a pure function of the run's spec and the stage's number. In another process it writes one file with its
weights, its part of the curve, its diagnostics and its cost. The run reads the files in the order of the stages, so
that every sum has the order of a run in one process; on the CPU the result is bit-identical.

Memory: every process that runs a stage holds a model, its optimizer and its activations, like a run of its own.
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
    """Write a stage's results to a file.

    Args:
        weights: Its final weights, by name.
        fit: The Fit of this stage only. Its diagnostics are numbers, one array per stage, or words (names of modules)
            that are the same in every stage.
        path: The file.
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
    """Return the weights in a stage's file, and add its curve, diagnostics and cost to those of fit."""
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
    """The independent stages of one run on an executor, each to be taken once, and the folder of their files."""

    futures: list[Future[None]]
    folder: Path

    def take(self, number: int, fit: Fit) -> Weights:
        """Wait for a stage, add it to fit and return its weights; raises the error that ended the stage, if any."""
        self.futures[number].result()
        path = stage_file(self.folder, number)
        weights = take_stage(path, fit)
        path.unlink()
        return weights


def stage_file(folder: Path, number: int) -> Path:
    """Return the path of a stage's file."""
    return folder / f"stage-{number}.safetensors"


@contextmanager
def remote_stages(
    executor: Executor | None, count: int, task: Callable[..., None], *arguments: Any
) -> Iterator[RemoteStages | None]:
    """Start all stages on the executor, as task(*arguments, number, path); None if there is no executor or no stage.

    Their files are in a folder of tempfile's, which the executor's processes must be able to access.
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
