"""Linear layers compute the tokens of a batch, not its padding, on the CPU.

Though batches are drawn from texts of similar length, 13 to 32 % of their positions are padding (MRPC, SST-2; N = 100,
16 texts a batch). Matrix products take most of a CPU's time, so they are computed for the tokens alone, and their rows
are put back into a padded tensor, in which dropout, attention and normalisation work as before. Since no token attends
to padding, the outputs for tokens, the loss and the gradients stay the same but for the order of sums.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle
from typing_extensions import override

from amix.data.encoded import Batch, Encoded
from amix.models.architecture import ArchitectureError, backbone

WORTHWHILE = 0.9
"""Share of tokens in a batch above which gathering them costs more than the padding."""
_INDEPENDENT: dict[str, bool] = {}
"""What the trials in this process have shown, by class and configuration: whether logits do not depend on padding."""
TOLERANCE = 1e-4
"""Largest difference of the logits, as a share of the largest logit, that the order of sums may make in float32."""


class TokensOnly(TorchFunctionMode):
    """While it is entered, linear layers compute the rows of their input that belong to tokens; others become zero."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.shape = mask.shape
        self.positions = mask.flatten().nonzero().squeeze(1)

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.linear and args and args[0].dim() == 3 and args[0].shape[:2] == self.shape:
            return self._linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _linear(self, states: Tensor, *parameters: Any, **named: Any) -> Tensor:
        rows = states.flatten(0, 1)
        outputs = functional.linear(rows.index_select(0, self.positions), *parameters, **named)
        padded = outputs.new_zeros(len(rows), outputs.shape[1]).index_copy(0, self.positions, outputs)
        return padded.view(*self.shape, outputs.shape[1])


class PaddingSkipper:
    """Hooks of a model's body that enter TokensOnly for its pass, with the attention mask that the body gets itself."""

    def __init__(self) -> None:
        self.entered: list[TokensOnly | None] = []

    def enter(self, module: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        """Enter the mode if the batch has enough padding; registered before the body's pass."""
        mask = inputs.get("attention_mask")
        mode = TokensOnly(mask) if isinstance(mask, Tensor) and has_padding(mask) else None
        if mode is not None:
            mode.__enter__()
        self.entered.append(mode)

    def leave(self, *_: Any) -> None:
        """Leave the mode; registered after the body's pass, which may have failed, even before enter."""
        mode = self.entered.pop() if self.entered else None
        if mode is not None:
            mode.__exit__(None, None, None)


def has_padding(mask: Tensor) -> bool:
    """Return whether a batch has padding that is worth skipping.

    Only on the CPU, where matrix products dominate. Not if a batch has one text, or as many texts as positions: a layer
    whose input has the same first two dimensions may then mean something else by them (DeBERTa's relative positions,
    and encoders that put the position first).

    Args:
        mask: Attention mask [batch, tokens], 1 for tokens and 0 for padding.
    """
    return (
        mask.device.type == "cpu"
        and mask.dim() == 2
        and 1 < len(mask) != mask.shape[1]
        and float(mask.count_nonzero()) < WORTHWHILE * mask.numel()
    )


def skip_padding(model: nn.Module, data: Encoded) -> bool:
    """Let the model skip padding from now on, if a trial on two texts shows that its logits do not depend on padding.

    They do in encoders that mix neighbouring positions without looking at the mask, such as ConvBERT's convolutions.

    Args:
        model: The classifier, as loaded; no random number is drawn, and no pass counted.
        data: The training set. If no two of its texts differ enough in length, nothing can be tried.

    Returns:
        Whether the model skips padding.
    """
    batch = _two_texts(data, next(model.parameters()).device)
    if batch is None or not _has_body(model):
        return False
    described = f"{type(model).__qualname__} {model.config}"
    if described not in _INDEPENDENT:
        as_padded = _logits(model, batch)
        with _skipping(model):
            difference = (_logits(model, batch) - as_padded).abs().max()
        _INDEPENDENT[described] = bool(0 <= difference <= TOLERANCE * as_padded.abs().max() and as_padded.any())
    if _INDEPENDENT[described]:
        _register(model)
    return _INDEPENDENT[described]


def _register(model: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
    skipper, body = PaddingSkipper(), backbone(model)
    return (
        body.register_forward_pre_hook(skipper.enter, with_kwargs=True),
        body.register_forward_hook(skipper.leave, always_call=True),
    )


@contextmanager
def _skipping(model: nn.Module) -> Iterator[None]:
    hooks = _register(model)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _has_body(model: nn.Module) -> bool:
    try:
        return isinstance(backbone(model), nn.Module)
    except ArchitectureError:
        return False


def _two_texts(data: Encoded, device: torch.device) -> Batch | None:
    """The shortest text and the next one that is longer enough, as a batch; None if there is no such text."""
    order = data.lengths.argsort(stable=True)
    for longer in order[1:].tolist():
        batch = data.batch(torch.tensor([int(order[0]), longer]), device)
        if has_padding(batch["attention_mask"]):
            return batch
    return None


def _logits(model: nn.Module, batch: Batch) -> Tensor:
    """The model's logits in evaluation mode, without gradients; every module's own mode is restored."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    for module, mode in training:
        module.training = mode
    return logits
