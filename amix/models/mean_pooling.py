"""A classifier on the mean of the token states, for encoders that were pretrained with mean pooling."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from typing_extensions import override


class MeanPooledClassifier(PreTrainedModel):
    """Mean of the last hidden states over the tokens, dropout, linear head.

    body is any Hugging Face encoder; logits have shape [batch, num_labels]. amix.models.export saves it.
    """

    base_model_prefix = "encoder"
    _supports_sdpa = True  # The body itself chooses and checks its attention.
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, body: PreTrainedModel) -> None:
        super().__init__(body.config)
        self.encoder = body
        self.dropout = nn.Dropout(getattr(body.config, "hidden_dropout_prob", 0.1))
        self.classifier = nn.Linear(int(body.config.hidden_size), int(body.config.num_labels or 1))

    @override
    def forward(self, attention_mask: torch.Tensor, **inputs: Any) -> SequenceClassifierOutput:
        """Compute the logits of a batch; further inputs are passed on to the encoder."""
        outputs = self.encoder(attention_mask=attention_mask, **inputs)
        mask = attention_mask.unsqueeze(-1).to(outputs.last_hidden_state.dtype)
        mean = (outputs.last_hidden_state * mask).sum(1) / mask.sum(1)
        return SequenceClassifierOutput(
            logits=self.classifier(self.dropout(mean)),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
