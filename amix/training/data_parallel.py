"""Data-parallel training of one run: its processes split each batch and average their gradients.

    torchrun --nproc-per-node 2 -m runners run --task rte --size 300 --method agwm --seed 1
    accelerate launch --multi_gpu --num_processes 2 -m runners run --task rte --size 300 --method agwm --seed 1

Every process executes the whole run, on its share of each batch. Dropout differs between processes; all other random
decisions come from the run's named streams and are the same in every process, so that all make the same updates and
hold the same weights, which is checked after each epoch. accelerate sets up the process group
(amix.training.fit.accelerator).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.utils.weak import WeakIdKeyDictionary
from typing_extensions import override

from amix.specs.launch import processes, rank

_watched = WeakIdKeyDictionary()


class Drift(RuntimeError):
    """The processes of a data-parallel run no longer hold the same weights."""


def leave() -> None:
    """Destroy the process group; otherwise the launcher warns about it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def share(positions: Tensor) -> Tensor:
    """Return this process's examples of a batch; the whole batch if it has fewer examples than there are processes."""
    return positions if len(positions) < processes() else positions[rank() :: processes()]


def weight(examples: int, device: torch.device) -> Tensor:
    """Return the weight of this process's loss that makes the mean over processes the mean loss over the batch."""
    total = torch.tensor(float(examples), device=device)
    distributed.all_reduce(total)
    return examples * processes() / total


@torch.no_grad()
def average_(tensor: Tensor) -> Tensor:
    """Replace a tensor by its mean over the processes."""
    if processes() > 1:
        distributed.all_reduce(tensor)
        tensor /= processes()
    return tensor


class _Average(torch.autograd.Function):
    """The mean over the processes; in backward each keeps its own gradient, which is averaged in turn."""

    @staticmethod
    @override
    def forward(tensor: Tensor) -> Tensor:
        return average_(tensor.clone())

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    @override
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def averaged(gradients: Sequence[Tensor], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Replace the gradients of parameters by their means over the processes; differentiable, if the gradients are.

    Gradients of other tensors (e.g. noise on the embeddings) belong to this process's examples and stay as they are.
    """
    if processes() == 1:
        return tuple(gradients)
    pairs = zip(gradients, tensors, strict=True)
    return tuple(
        _Average.apply(gradient) if isinstance(tensor, nn.Parameter) and gradient is not None else gradient
        for gradient, tensor in pairs
    )


def average_gradients(model: nn.Module) -> None:
    """From now on, average the gradient of each of the model's parameters as soon as a backward pass has computed it.

    Accumulating two backward passes is correct as well: the first one's part is already the same in all processes.
    """
    if processes() == 1:
        return
    for parameter in model.parameters():
        if parameter.requires_grad and parameter not in _watched:
            _watched[parameter] = True
            parameter.register_post_accumulate_grad_hook(_average_gradient)


def _average_gradient(parameter: Tensor) -> None:
    if parameter.grad is not None:
        average_(parameter.grad)


@torch.no_grad()
def check_same_weights(model: nn.Module) -> None:
    """Check that the processes hold the same weights, by the sum of each parameter's absolute values.

    Raises:
        Drift: They do not, e.g. because a method makes random decisions of its own.
    """
    if processes() == 1:
        return
    sums = torch.stack([parameter.double().abs().sum() for parameter in model.parameters()])
    highest, lowest = sums.clone(), sums.clone()
    distributed.all_reduce(highest, distributed.ReduceOp.MAX)
    distributed.all_reduce(lowest, distributed.ReduceOp.MIN)
    if not torch.allclose(highest, lowest, rtol=1e-5, atol=1e-8, equal_nan=True):
        raise Drift(
            "the processes of this run no longer hold the same weights: its method makes different decisions in each "
            "process; take random numbers from amix.random_streams, or run it in one process"
        )
