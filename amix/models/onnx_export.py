"""Exporting a saved model as an ONNX file, and checking that it gives the same logits in onnxruntime.

Only this needs onnx, onnxscript and onnxruntime: pip install "amix[onnx]", or these three packages.
"""

import importlib.util
import logging
import warnings
from pathlib import Path

import numpy
import torch
from torch import nn
from typing_extensions import override

from amix.models.saved_model import SavedModel

FILE = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""Largest difference between logits; relative for logits above 1."""
SAMPLES = ("A short text.", "Another one, which is quite a bit longer than the first and the third of them.", "Third?")


class OnnxError(RuntimeError):
    """A model cannot be written as ONNX; the message says what to do."""


class _Logits(nn.Module):
    """A classifier that takes its inputs in a fixed order and returns only the logits."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    @override
    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def check_packages() -> None:
    """Check that the packages are installed, before anything is trained.

    Raises:
        OnnxError: Packages are missing; the message gives the command that installs them.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxError(
            f"--onnx needs packages that are not installed ({', '.join(missing)}): pip install {' '.join(PACKAGES)}"
        )


def save_onnx(saved: SavedModel, folder: Path) -> Path:
    """Write an ONNX file for inputs of any batch size and length, and compare its logits with the model's own.

    Args:
        saved: The model.
        folder: The folder of its weights, where the file is written.

    Returns:
        The file.

    Raises:
        OnnxError: Packages are missing, torch cannot write the model, or the logits differ.
    """
    check_packages()
    pairs = len(saved.description.text) == 2
    columns = [list(SAMPLES), list(SAMPLES[::-1])] if pairs else [list(SAMPLES)]
    length = saved.description.max_length
    tokens = saved.tokenizer(*columns, padding=True, truncation=True, max_length=length, return_tensors="pt")
    names = tuple(tokens)
    path = folder / FILE
    model = saved.model.cpu().eval()
    dynamic = tuple({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for _ in names)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The exporter's own code causes them.
            torch.onnx.export(
                _Logits(model, names), tuple(tokens.values()), path, input_names=list(names), output_names=["logits"],
                dynamic_shapes=(dynamic,), dynamo=True, external_data=False, verbose=False,
            )  # fmt: skip
    except Exception as error:  # A model's code can make the exporter raise anything.
        path.unlink(missing_ok=True)
        reason = " ".join(str(error).split())[:300]
        raise OnnxError(
            f"torch cannot write this model as ONNX ({reason}); its folder is complete otherwise"
        ) from error
    _check(saved, path, columns)
    return path


def _check(saved: SavedModel, path: Path, columns: list[list[str]]) -> None:
    """Check the logits of single texts, whose shapes differ from the traced ones."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for texts in zip(*columns, strict=True):
        tokens = saved.tokenizer(
            *([text] for text in texts), truncation=True, max_length=saved.description.max_length, return_tensors="np"
        )
        inputs = {item.name: tokens[item.name].astype(numpy.int64) for item in session.get_inputs()}
        logits = session.run(["logits"], inputs)[0]
        with torch.inference_mode():
            expected = saved.model(**{name: torch.from_numpy(value) for name, value in inputs.items()}).logits.numpy()
        difference = float((numpy.abs(logits - expected) / numpy.maximum(1.0, numpy.abs(expected))).max())
        if not difference <= TOLERANCE:
            path.unlink(missing_ok=True)
            raise OnnxError(f"onnxruntime's logits differ from the model's by {difference:.2g}; no file was kept")
