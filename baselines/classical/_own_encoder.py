"""A classifier that contains its encoder, for methods that replace the linear head by something else."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from amix.models.architecture import pretrained_pooler
from amix.models.mean_pooling import MeanPooledClassifier


class WithEncoder(nn.Module):
    """An encoder whose token states are pooled into one vector.

    Export writes the source of this class and of its subclass next to the weights, so that they may use only torch, nn,
    functional, Any and transformers.

    Args:
        configuration: The encoder's, as JSON.
        pooling: `mean` or `first` of the token states, or `pooler`, the encoder's own.
    """

    def __init__(self, configuration: str, pooling: str) -> None:
        import json

        from transformers import AutoConfig, AutoModel

        super().__init__()
        self.arguments: dict[str, Any] = {"configuration": configuration, "pooling": pooling}
        self.encoder = AutoModel.from_config(AutoConfig.for_model(**json.loads(configuration))).eval()
        if pooling != "pooler" and hasattr(self.encoder, "pooler"):
            self.encoder.pooler = None
        self.pooling = pooling

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        table: nn.Module = self.encoder.get_input_embeddings()
        return table

    def pooled(self, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """One vector per text, [batch, width]."""
        outputs = self.encoder(attention_mask=attention_mask, **inputs)
        if self.pooling == "pooler":
            vectors: torch.Tensor = outputs.pooler_output
            return vectors
        states: torch.Tensor = outputs.last_hidden_state
        mask = attention_mask.unsqueeze(-1)
        return (states * mask).sum(1) / mask.sum(1) if self.pooling == "mean" else states[:, 0]


def encoder_and_pooling(model: nn.Module, pooler: bool) -> tuple[PreTrainedModel, str, str]:
    """Take the encoder out of a classifier.

    Args:
        model: The classifier.
        pooler: Whether to use a pretrained pooler if there is one; otherwise it is removed and the first state is used.

    Returns:
        The encoder, its configuration as JSON, and its pooling.
    """
    assert isinstance(model, PreTrainedModel)
    body = model.base_model
    assert isinstance(body, PreTrainedModel)
    if isinstance(model, MeanPooledClassifier):
        pooling = "mean"
    else:
        pooling = "pooler" if pooler and pretrained_pooler(model) else "first"
    if pooling != "pooler" and hasattr(body, "pooler"):
        body.pooler = None  # type: ignore[assignment]
    return body, body.config.to_json_string(use_diff=False), pooling
