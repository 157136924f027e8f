"""Classifiers on a BERT or RoBERTa of four narrow layers."""

from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig, RobertaConfig

LAYERS = 4


def model(kind: str, layers: int = LAYERS) -> nn.Module:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
    config = {"bert": BertConfig, "roberta": RobertaConfig}[kind](num_hidden_layers=layers, **sizes)
    classifier = AutoModelForSequenceClassification.from_config(config)
    assert isinstance(classifier, nn.Module)
    return classifier
