"""Linear layers that compute tokens only: same outputs and gradients, less work, and never where padding matters."""

import copy
from collections.abc import Iterator

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import _get_current_function_mode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification, ConvBertConfig, PreTrainedModel

from amix.data.encoded import Encoded
from amix.training import padding
from amix.training.padding import PaddingSkipper, has_padding, skip_padding
from helpers.toy_encoders import FAMILIES, VOCABULARY, configuration

LENGTHS = (9, 3, 14, 5)


def data(lengths: tuple[int, ...] = LENGTHS, left: bool = False) -> Encoded:
    """Random texts of these lengths."""
    random, longest = numpy.random.default_rng(5), max(lengths)
    ids, mask = (
        torch.zeros(len(lengths), longest, dtype=torch.long),
        torch.zeros(len(lengths), longest, dtype=torch.long),
    )
    for row, length in enumerate(lengths):
        places = slice(longest - length, longest) if left else slice(length)
        ids[row, places] = torch.from_numpy(random.integers(5, len(VOCABULARY), length))
        mask[row, places] = 1
    labels = torch.arange(len(lengths)) % 2
    inputs = {"input_ids": ids, "attention_mask": mask}
    return Encoded(inputs, torch.tensor(lengths), labels, padding_side="left" if left else "right")


def classifier(family: str) -> PreTrainedModel:
    torch.manual_seed(3)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(configuration(family))
    return model.double().train()


def outputs(model: nn.Module, examples: Encoded) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits and gradients of a batch of all examples, with dropout."""
    batch = examples.batch(torch.arange(len(examples)))
    labels = batch.pop("labels")
    model.zero_grad()
    torch.manual_seed(8)
    logits = model(**batch).logits
    nn.functional.cross_entropy(logits, labels).backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture(autouse=True)
def _no_mode_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(padding, "_INDEPENDENT", {})  # Every test makes its own trial.
    yield
    assert _get_current_function_mode() is None


@pytest.mark.parametrize("family", [*FAMILIES, "mpnet"])
def test_outputs_and_gradients_are_the_same_with_the_same_dropout(family: str) -> None:
    model, examples = classifier(family), data()
    logits, gradients = outputs(model, examples)
    assert skip_padding(model, examples)
    same, others = outputs(model, examples)
    torch.testing.assert_close(same, logits, rtol=0, atol=1e-12)
    assert others.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=0, atol=1e-11)


def test_second_derivatives_are_the_same() -> None:
    model, examples = classifier("bert"), data()
    model.eval()
    batch = examples.batch(torch.arange(4))
    labels = batch.pop("labels")
    weight = model.get_submodule("bert.encoder.layer.0.output.dense").weight
    direction = torch.linspace(-1, 1, weight.numel(), dtype=weight.dtype).view_as(weight)

    def product() -> Tensor:
        with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
            loss = nn.functional.cross_entropy(model(**batch).logits, labels)
        (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
        return torch.autograd.grad((gradient * direction).sum(), weight)[0]

    computed = product()
    assert skip_padding(model, examples)
    torch.testing.assert_close(product(), computed, rtol=0, atol=1e-11)


def test_matrix_products_are_computed_for_tokens_only() -> None:
    model, examples = classifier("mpnet"), data()
    counted = []
    for skipped in (False, True):
        assert not skipped or skip_padding(model, examples)
        with FlopCounterMode(display=False) as counter:
            outputs(model, examples)
        counted.append(counter.get_flop_counts()["Global"][torch.ops.aten.addmm])
    share = sum(LENGTHS) / (len(LENGTHS) * max(LENGTHS))
    head = counted[0] * 0.1  # The head's products are the same.
    assert share * counted[0] <= counted[1] <= share * counted[0] + head


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(4, 9, dtype=torch.long),
        torch.tensor([[1, 1, 0, 0, 0]]),
        torch.tensor([[1, 1], [1, 0]]),
        torch.ones(2, 4, 4, dtype=torch.long).tril(),
        torch.zeros(3, 8, dtype=torch.long, device="meta"),
    ],
    ids=["no padding", "one text", "as many texts as positions", "a mask per position", "no values"],
)
def test_batches_in_which_it_is_worthless_or_ambiguous_are_computed_as_they_are(mask: Tensor) -> None:
    assert not has_padding(mask)


def test_texts_of_one_length_show_nothing_so_padding_is_computed() -> None:
    assert not skip_padding(classifier("bert"), data((7, 7, 7)))


def test_an_encoder_that_mixes_neighbours_computes_its_padding() -> None:
    torch.manual_seed(3)
    config = ConvBertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=40, initializer_range=0.5,
    )  # fmt: skip
    model, examples = AutoModelForSequenceClassification.from_config(config).double(), data()
    logits, _ = outputs(model, examples)
    assert not skip_padding(model, examples)
    assert torch.equal(outputs(model, examples)[0], logits)


def test_a_classifier_that_reads_a_position_of_padding_computes_it() -> None:
    model, examples = classifier("bert"), data(left=True)  # It classifies by the first position.
    logits, _ = outputs(model, examples)
    assert not skip_padding(model, examples)
    assert torch.equal(outputs(model, examples)[0], logits)


def test_a_trial_draws_nothing_and_leaves_the_modules_as_they_were() -> None:
    model = classifier("bert")
    modules = list(model.modules())
    modules[-1].eval()
    before, state = [module.training for module in modules], torch.get_rng_state()
    assert skip_padding(model, data())
    assert [module.training for module in modules] == before
    assert torch.equal(torch.get_rng_state(), state)


def test_models_of_one_configuration_share_a_trial_and_others_have_their_own() -> None:
    examples = data()
    assert skip_padding(classifier("bert"), examples)
    assert skip_padding(classifier("bert"), examples)
    assert skip_padding(classifier("roberta"), examples)
    assert len(padding._INDEPENDENT) == 2


def test_a_copy_skips_padding_too_and_a_failed_pass_leaves_nothing_behind() -> None:
    model, examples = classifier("bert"), data()
    assert skip_padding(model, examples)
    copied = copy.deepcopy(model)
    batch = examples.batch(torch.arange(4))
    with pytest.raises(IndexError):
        copied(input_ids=batch["input_ids"] + 10_000, attention_mask=batch["attention_mask"])
    torch.testing.assert_close(outputs(copied, examples)[0], outputs(model, examples)[0])


def test_leaving_without_having_entered_does_nothing() -> None:
    PaddingSkipper().leave()
    assert padding.WORTHWHILE < 1
