"""A saved model as an ONNX file beside its weights, checked to give the same logits in onnxruntime.

onnx, onnxscript and onnxruntime are needed for this alone: pip install "amix[onnx]", or these three names.
"""

import importlib.util
import logging
import warnings
from pathlib import Path

import numpy
import torch
from torch import nn

from amix.models.saved_model import SavedModel

FILE = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""Of logits, relative where they are above 1."""
SAMPLES = ("A short text.", "Another one, which is quite a bit longer than the first and the third of them.", "Third?")


class OnnxError(RuntimeError):
    """A model that cannot be written as ONNX; the message says what to do."""


class _Logits(nn.Module):
    """The logits of a classifier from its inputs by name, in a fixed order."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def check_packages() -> None:
    """Say what is missing before anything is trained.

    Raises:
        OnnxError: with the command that installs it.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise OnnxError(
            f"--onnx needs packages that are not installed ({', '.join(missing)}): pip install {' '.join(PACKAGES)}"
        )


def save_onnx(saved: SavedModel, folder: Path) -> Path:
    """Write FILE, with inputs of any batch size and length, and compare its logits with the model's own.

    Args:
        saved: the model.
        folder: where its weights lie.

    Returns:
        The file.

    Raises:
        OnnxError: If packages are missing, torch cannot write the model, or the logits differ.
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
            warnings.simplefilter("ignore")  # Of the exporter's own parts.
            torch.onnx.export(
                _Logits(model, names), tuple(tokens.values()), path, input_names=list(names), output_names=["logits"],
                dynamic_shapes=(dynamic,), dynamo=True, external_data=False, verbose=False,
            )  # fmt: skip
    except Exception as error:  # Whatever a model's code makes the exporter raise.
        path.unlink(missing_ok=True)
        said = " ".join(str(error).split())[:300]
        raise OnnxError(f"torch cannot write this model as ONNX ({said}); the folder itself is whole") from error
    _check(saved, path, columns)
    return path


def _check(saved: SavedModel, path: Path, columns: list[list[str]]) -> None:
    """That single texts, too, which have other shapes than the ones traced, get the same logits."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for texts in zip(*columns, strict=True):
        tokens = saved.tokenizer(
            *([text] for text in texts), truncation=True, max_length=saved.description.max_length, return_tensors="np"
        )
        inputs = {one.name: tokens[one.name].astype(numpy.int64) for one in session.get_inputs()}
        found = session.run(["logits"], inputs)[0]
        with torch.inference_mode():
            expected = saved.model(**{name: torch.from_numpy(value) for name, value in inputs.items()}).logits.numpy()
        difference = float((numpy.abs(found - expected) / numpy.maximum(1.0, numpy.abs(expected))).max())
        if not difference <= TOLERANCE:
            path.unlink(missing_ok=True)
            raise OnnxError(f"onnxruntime's logits differ from the model's by {difference:.2g}; no file was kept")
