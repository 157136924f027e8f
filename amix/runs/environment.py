"""The environment block of a record: the software and machine that made it."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy", "scipy", "scikit-learn")
NUMERICAL_VARIABLES = ("LD_PRELOAD", "MKL_", "ONEDNN_", "OMP_", "ATEN_CPU_CAPABILITY", "CUBLAS_", "NVIDIA_TF32_")


@cache
def _git(*arguments: str) -> str | None:
    try:
        # No optional locks: a status that is cut off, e.g. by a full disk, would leave its lock in the checkout.
        completed = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip()


@cache
def _packages() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES}


def _variables() -> dict[str, str]:
    """Environment variables that select numerical kernels and so affect the last digits; paths without folders."""
    return {
        name: " ".join(Path(part).name for part in value.split()) if "/" in value else value
        for name, value in sorted(os.environ.items())
        if name.startswith(NUMERICAL_VARIABLES) and value
    }


@cache
def _libraries() -> dict[str, str]:
    """The libraries that compute matrix products on the CPU, and the instruction set that they may use."""
    build = torch.__config__.show()
    patterns = {"mkl": r"Math Kernel Library Version (\S+?)-", "onednn": r"MKL-DNN v(\S+)"}
    matches = {name: re.search(pattern, build) for name, pattern in patterns.items()}
    used = {"mkl": torch.backends.mkl.is_available(), "onednn": torch.backends.mkldnn.is_available()}
    versions = {name: match[1] if match else "unknown" for name, match in matches.items() if used[name]}
    return versions | {"cpu_capability": torch.backends.cpu.get_cpu_capability()}


def environment(command: str) -> dict[str, Any]:
    """Return the record's environment block; command is what the user typed."""
    cuda = torch.cuda.is_available()
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "packages": _packages(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "precision": "bf16" if cuda else "fp32",
        "threads": torch.get_num_threads(),
        "libraries": _libraries(),
        "variables": _variables(),
        "command": command,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
