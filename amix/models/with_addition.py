"""Classifiers that no plain checkpoint can represent: an encoder with an addition (prompts, adapters), or one alone."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from typing_extensions import override


class EncoderWithAddition(nn.Module):
    """A plain classifier with an addition that acts inside its encoder or, if classifier is None, an addition alone.

    The addition's class must be self-contained, because export writes its source next to the weights: it may use only
    torch, nn, functional and Any, and keeps its constructor's arguments in `arguments`. Inside an encoder it works
    through hooks that its attach(encoder) registers, so that the classifier's own parameters keep their names; alone,
    it maps input_ids and attention_mask to logits.
    """

    def __init__(self, classifier: PreTrainedModel | None, addition: nn.Module) -> None:
        super().__init__()
        self.classifier, self.addition = classifier, addition

    @property
    def base_model(self) -> nn.Module:
        """The pretrained body; everything outside it (head and addition) is new."""
        body = self.addition if self.classifier is None else self.classifier.base_model
        assert isinstance(body, nn.Module)
        return body

    @override
    def forward(self, **inputs: Any) -> SequenceClassifierOutput:
        """Compute the logits of a batch."""
        if self.classifier is None:
            logits: torch.Tensor = self.addition(**inputs)
            return SequenceClassifierOutput(logits=logits)
        outputs: SequenceClassifierOutput = self.classifier(**inputs)
        return outputs
