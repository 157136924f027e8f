"""Script for torchrun: execute runs in the processes of a launch; the first process stores records and arrays."""

import gc
import json
import sys
from pathlib import Path

import numpy
import torch

from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.specs.launch import rank
from amix.specs.run_spec import RunSpec
from amix.training.data_parallel import leave


def main(specs: Path, encoder: str, folder: Path) -> None:
    torch.set_num_threads(1)
    for number, content in enumerate(json.loads(specs.read_text())):
        plugins = tuple(content.pop("plugins", ()))
        gc.freeze()  # A run ends with a garbage collection, which need not visit torch's objects every time.
        record, arrays = execute(RunSpec(**content), RunContext(encoder=encoder, plugins=plugins, dev_only=True))
        if rank() == 0:
            (folder / f"{number}.json").write_text(json.dumps(record))
            numpy.savez(folder / f"{number}.npz", **arrays)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
