"""Outputs of a model on a split."""

from dataclasses import dataclass

import numpy
import torch
from torch import nn

from amix.data.encoded import Encoded, evaluation_batches
from amix.training.fit import Diverged, Fit


@dataclass(frozen=True)
class Predictions:
    """Outputs on a split, in its order: logits [n, outputs]; predictions [n], class ids, or numbers for regression."""

    logits: numpy.ndarray
    predictions: numpy.ndarray


def predict(model: nn.Module, data: Encoded, fit: Fit) -> Predictions:
    """Compute the model's outputs in evaluation mode; its mode is restored.

    Raises:
        Diverged: The outputs are not finite, which losses computed before the last updates cannot show.
    """
    training = model.training
    model.eval()
    logits = torch.empty(len(data), fit.task.outputs, device=fit.device)
    with fit.cost.timed("evaluation"), torch.inference_mode():
        for positions in evaluation_batches(data):
            logits[positions] = fit.logits(model, data.batch(positions, fit.device)).float()
        outputs = logits.cpu().numpy()  # Waits for a GPU, whose work is part of the time.
    model.train(training)
    if not numpy.isfinite(outputs).all():
        raise Diverged(f"stage {fit.stage}, after step {fit.step}: the model's outputs are not finite")
    return Predictions(outputs, data.unscaled(outputs[:, 0]) if fit.task.regression else outputs.argmax(axis=1))
