"""The option that also writes a model as ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from runners.cli.options import console

OnnxOption = Annotated[
    bool, typer.Option("--onnx", help="Also write model.onnx (pip install onnx onnxscript onnxruntime).")
]


def check_onnx(wanted: bool) -> None:
    """Check before anything is trained that the packages for ONNX are installed.

    Raises:
        OnnxError: a package is missing; the message gives the command that installs it.
    """
    if wanted:
        from amix.models.onnx_export import check_packages

        check_packages()


def write_onnx(folder: Path) -> None:
    """Write a saved model as ONNX and print where."""
    from amix.models.onnx_export import save_onnx
    from amix.models.saved_model import load_saved

    console.print(f"onnx:  {save_onnx(load_saved(folder), folder)}", soft_wrap=True)
