"""Which parameters top-k layer tuning trains, against the released variant and Houlsby's definition."""

import pytest
from golden_agwm import Case
from parity import golden_fit
from torch import nn
from transformers import AutoModelForSequenceClassification, BertConfig, RobertaConfig

from baselines.layers import TopKLayers

LAYERS = 4


def model(kind: str) -> nn.Module:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
    config = {"bert": BertConfig, "roberta": RobertaConfig}[kind](num_hidden_layers=LAYERS, **sizes)
    found = AutoModelForSequenceClassification.from_config(config)
    assert isinstance(found, nn.Module)
    return found


@pytest.mark.parametrize("variant", ["houlsby", "released"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_same_parameters_are_trained(kind: str, variant: str) -> None:
    case = Case(f"topk_{kind}")
    names = case.arrays["names"].tolist()
    for k, expected in zip(case.arrays[f"{variant}_k"], case.arrays[f"{variant}_trainable"], strict=True):
        config = TopKLayers.Config(k=int(k))
        if variant == "released":
            config = TopKLayers.Config(k=max(0, LAYERS - 1 - int(k)), freeze_embeddings=False)
        prepared = TopKLayers(config).prepare(model(kind), golden_fit())
        found = {name: parameter.requires_grad for name, parameter in prepared.named_parameters()}
        assert found == dict(zip(names, expected.tolist(), strict=True))
