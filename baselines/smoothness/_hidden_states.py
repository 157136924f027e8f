"""Hooks that record or modify hidden states while a model runs, for any architecture."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from amix.models.architecture import ArchitectureError, backbone, embeddings

Change = Callable[[Tensor], Tensor]


def embedding_layer(model: nn.Module) -> nn.Module:
    """The part of the body that computes the first hidden states, positions and LayerNorm included."""
    tokens = embeddings(model)
    return next(part for part in backbone(model).children() if any(module is tokens for module in part.modules()))


def hidden_states(output: Any) -> Tensor:
    """The hidden states that a block returns, alone or first in a tuple."""
    states = output if isinstance(output, Tensor) else output[0]
    assert isinstance(states, Tensor)
    return states


@contextmanager
def changed_inputs(modules: Sequence[nn.Module], change: Change) -> Iterator[None]:
    """Within the context, `change` is applied to the hidden states that each of these modules reads.

    Raises:
        ArchitectureError: If a module takes them by keyword.
    """

    def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if not args:
            raise ArchitectureError(f"{type(module).__name__} gets its hidden states by keyword")
        return (change(args[0]), *args[1:])

    with _kept([module.register_forward_pre_hook(hook) for module in modules]):
        yield


@contextmanager
def changed_outputs(modules: Sequence[nn.Module], change: Change) -> Iterator[None]:
    """Within the context, `change` is applied to the hidden states that each of these modules returns."""

    def hook(module: nn.Module, args: object, output: Any) -> Any:
        changed = change(hidden_states(output))
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    with _kept([module.register_forward_hook(hook) for module in modules]):
        yield


@contextmanager
def recorded_outputs(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Within the context, the list collects the hidden states that these modules return, in order of their calls."""
    states: list[Tensor] = []

    def hook(module: nn.Module, args: object, output: Any) -> None:
        states.append(hidden_states(output))

    with _kept([module.register_forward_hook(hook) for module in modules]):
        yield states


@contextmanager
def _kept(handles: Sequence[RemovableHandle]) -> Iterator[None]:
    """Remove the hooks at the end, even after an error."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield
