"""Classifiers that a plain checkpoint cannot hold: with an addition inside (prompts, adapters), or nothing else."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class Extended(nn.Module):
    """A plain classifier and an addition that acts inside its encoder, or (classifier None) an addition by itself.

    The addition's class stands on its own, because export writes its source beside the weights: it uses torch, nn,
    functional and Any alone, and keeps the arguments of its constructor in `arguments`. Inside an encoder it works by
    the hooks that its attach(encoder) sets, so that the classifier's own parameters and their names stay as they
    are; by itself it maps input_ids and attention_mask to logits.
    """

    def __init__(self, classifier: PreTrainedModel | None, addition: nn.Module) -> None:
        super().__init__()
        self.classifier, self.addition = classifier, addition

    @property
    def base_model(self) -> nn.Module:
        """The pretrained body; what lies outside it (head and addition) is new."""
        body = self.addition if self.classifier is None else self.classifier.base_model
        assert isinstance(body, nn.Module)
        return body

    def forward(self, **inputs: Any) -> SequenceClassifierOutput:
        """Logits of a batch."""
        if self.classifier is None:
            logits: torch.Tensor = self.addition(**inputs)
            return SequenceClassifierOutput(logits=logits)
        outputs: SequenceClassifierOutput = self.classifier(**inputs)
        return outputs
