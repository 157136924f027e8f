"""The class of a finetuned classifier that transformers has none for, saved with it. Needs torch and transformers.

    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    logits = model(**tokens).logits

Without trust_remote_code transformers refuses the folder, because only this file defines its kind of model.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional  # noqa: F401  (An addition's source, which may follow below, uses it.)
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from typing_extensions import override

ADDITIONS: dict[str, type[nn.Module]] = {}
"""Classes of additions, which act inside an encoder or replace it, by name."""


class FinetunedConfig(PreTrainedConfig):
    """The parts of a FinetunedClassifier.

    Attributes:
        encoder: Configuration of the encoder, or of the whole classifier if transformers has one; empty for none.
        pooling: "mean" of the token states, "own" head of the architecture, or "none" without an encoder.
        addition: Name of a class in ADDITIONS; empty for none.
        arguments: Arguments of its constructor.
    """

    model_type = "finetuned-classifier"

    def __init__(
        self,
        encoder: dict[str, Any] | None = None,
        pooling: str = "mean",
        addition: str = "",
        arguments: dict[str, Any] | None = None,
        **other: Any,
    ) -> None:
        self.encoder, self.pooling = encoder or {}, pooling
        self.addition, self.arguments = addition, arguments or {}
        super().__init__(**other)


class FinetunedClassifier(PreTrainedModel):
    """A classifier with an encoder, an addition or both; its logits have shape [batch, num_labels]."""

    config_class = FinetunedConfig
    _supports_sdpa = True  # The encoder itself chooses and checks its attention.
    _supports_flash_attn = True
    _supports_attention_backend = True
    addition: Any

    def __init__(self, config: FinetunedConfig) -> None:
        super().__init__(config)
        if config.pooling == "mean":
            self.encoder = AutoModel.from_config(AutoConfig.for_model(**config.encoder))
            if hasattr(self.encoder, "pooler"):
                self.encoder.pooler = None
            self.head = nn.Linear(int(self.encoder.config.hidden_size), int(config.num_labels or 1))
        elif config.pooling == "own":
            self.classifier = AutoModelForSequenceClassification.from_config(AutoConfig.for_model(**config.encoder))
        if config.addition:
            self.addition = ADDITIONS[config.addition](**config.arguments)
            if config.pooling != "none":
                body: Any = self.encoder if config.pooling == "mean" else self.classifier.base_model
                self.addition.attach(body)
        self.post_init()

    @override
    def forward(
        self, input_ids: torch.Tensor | None = None, attention_mask: torch.Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutput:
        """Compute the logits of a batch; without a mask every token counts, and further inputs are passed on."""
        if attention_mask is None and input_ids is not None:
            attention_mask = torch.ones_like(input_ids)
        arguments = {"input_ids": input_ids, "attention_mask": attention_mask} | inputs
        if self.config.pooling == "none":
            return SequenceClassifierOutput(logits=self.addition(**arguments))
        if self.config.pooling == "own":
            return SequenceClassifierOutput(logits=self.classifier(**arguments).logits)
        assert attention_mask is not None
        states = self.encoder(**arguments).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return SequenceClassifierOutput(logits=self.head((states * mask).sum(1) / mask.sum(1)))

    @override
    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of the input tokens."""
        part: Any = {"mean": "encoder", "own": "classifier", "none": "addition"}[self.config.pooling]
        table: nn.Module = getattr(self, part).get_input_embeddings()
        return table
