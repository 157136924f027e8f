"""A finetuned classifier that transformers has no class for, as it lies in its folder. Needs torch and transformers.

    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    logits = model(**tokens).logits

Without trust_remote_code transformers refuses the folder: its kind of model is this file's.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional  # noqa: F401  (An addition's source, which may follow below, uses it.)
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

ADDITIONS: dict[str, type[nn.Module]] = {}
"""Classes of what stands inside an encoder or in its place, by name."""


class FinetunedConfig(PreTrainedConfig):
    """What a FinetunedClassifier is made of.

    Attributes:
        encoder: configuration of the encoder, or of the whole classifier where transformers has one; empty for none.
        pooling: "mean" of the token states, "own" head of the architecture, or "none" without an encoder.
        addition: name of a class in ADDITIONS, empty for none.
        arguments: of its constructor.
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
    """Logits [batch, num_labels] from the mean of an encoder's token states, or from what an addition makes of it."""

    config_class = FinetunedConfig
    _supports_sdpa = True  # The encoder chooses and checks its attention itself.
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

    def forward(
        self, input_ids: torch.Tensor | None = None, attention_mask: torch.Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutput:
        """Logits of a batch; further inputs go on as they are. Where no mask is given, every token counts."""
        if attention_mask is None and input_ids is not None:
            attention_mask = torch.ones_like(input_ids)
        given = {"input_ids": input_ids, "attention_mask": attention_mask} | inputs
        if self.config.pooling == "none":
            return SequenceClassifierOutput(logits=self.addition(**given))
        if self.config.pooling == "own":
            return SequenceClassifierOutput(logits=self.classifier(**given).logits)
        assert attention_mask is not None
        states = self.encoder(**given).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return SequenceClassifierOutput(logits=self.head((states * mask).sum(1) / mask.sum(1)))

    def get_input_embeddings(self) -> nn.Module:
        """The table with a row per token."""
        part: Any = {"mean": "encoder", "own": "classifier", "none": "addition"}[self.config.pooling]
        table: nn.Module = getattr(self, part).get_input_embeddings()
        return table
