"""Run under torchrun: does runs in the processes of a launch, the first of which leaves what they gave."""

import json
import sys
from pathlib import Path

import numpy
import torch

from amix.launch import rank
from amix.ranks import leave
from amix.record import RunSpec
from amix.run import Context, execute


def main(specs: Path, encoder: str, folder: Path) -> None:
    torch.set_num_threads(1)
    for number, content in enumerate(json.loads(specs.read_text())):
        plugins = tuple(content.pop("plugins", ()))
        record, arrays = execute(RunSpec(**content), Context(encoder=encoder, plugins=plugins, dev_only=True))
        if rank() == 0:
            (folder / f"{number}.json").write_text(json.dumps(record))
            numpy.savez(folder / f"{number}.npz", **arrays)
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
