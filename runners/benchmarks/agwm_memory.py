"""Peak memory of plain training and of a search, each in its own process.

A process is `python -m runners.benchmarks.agwm_memory SETTINGS`, where SETTINGS is JSON: the workload, and the mixup's
settings or null for plain training. It prints the peak in bytes, without what Python and its libraries took before the
model.
"""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from amix.agwm.method import AGWM, AGWMConfig
from amix.training.cost import peak_memory, reset_peak_memory
from amix.training.method import Method
from amix.training.multi_stage import finetune
from results.loading.layout import ROOT
from runners.benchmarks.workload import Workload, sentences

EPOCHS = 2
HALVES = {"lower_share": 0.5, "finetune": False}
"""Settings for a search on two batches of sentences, so that both levels have full batches."""


def measure_memory(workload: Workload, settings: dict[str, Any] | None) -> int:
    """Peak bytes of plain training (settings None) or of a search with these settings, in another process."""
    content = json.dumps({"workload": asdict(workload), "settings": settings})
    command = [sys.executable, "-W", "ignore", "-m", "runners.benchmarks.agwm_memory", content]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring the memory failed: {done.stderr.strip().splitlines()[-1]}")
    return int(done.stdout.split()[-1])


def peak_beyond_libraries(workload: Workload, settings: dict[str, Any] | None) -> int:
    """Peak bytes in this process: model, optimizer and passes, and the encoder that is cached for further runs."""
    before = 0 if torch.cuda.is_available() else _resident()
    reset_peak_memory()
    fit = workload.fit()
    data = sentences(2 * workload.batch_size, workload.length)
    if settings is None:
        method, recipe = Method(), replace(fit.recipe, steps=EPOCHS)
    else:
        method = AGWM(AGWMConfig(**{"splits": 1, "search_epochs": EPOCHS} | HALVES | settings))
        recipe = fit.recipe
    finetune(method, workload.model(), replace(fit, train=data, recipe=recipe))
    return peak_memory() - before


def _resident() -> int:
    """Bytes of this process in memory now (Linux only; 0 elsewhere, so that the libraries are counted)."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = json.loads(sys.argv[1])
    print(peak_beyond_libraries(Workload(**given["workload"]), given["settings"]))
