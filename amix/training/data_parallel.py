"""Data-parallel training of one run: the processes of a launch split each batch and average their gradients.

    torchrun --nproc-per-node 2 -m runners run --task rte --size 300 --method agwm --seed 1
    accelerate launch --multi_gpu --num_processes 2 -m runners run --task rte --size 300 --method agwm --seed 1

Every process does the whole run on its share of each batch. Dropout differs between processes; every other random
decision comes from the run's named streams and is the same in all, so that all make the same updates and hold the same
weights, which is checked after each epoch. accelerate joins the processes (amix.training.fit.accelerator).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.utils.weak import WeakIdKeyDictionary

from amix.specs.launch import processes, rank

_watched = WeakIdKeyDictionary()


class Drift(RuntimeError):
    """The processes of a data-parallel run no longer hold the same weights."""


def leave() -> None:
    """End the group of processes; without this the launcher warns of it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def share(positions: Tensor) -> Tensor:
    """This process's examples of a batch; the whole batch where there are fewer examples than processes."""
    return positions if len(positions) < processes() else positions[rank() :: processes()]


def weight(examples: int, device: torch.device) -> Tensor:
    """What makes the mean over processes of the mean losses over their shares the mean loss over the batch."""
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
    """The mean over the processes; backward, each process keeps its own part, whose gradients are averaged in turn."""

    @staticmethod
    def forward(tensor: Tensor) -> Tensor:
        return average_(tensor.clone())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def averaged(gradients: Sequence[Tensor], tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The gradients with those of parameters replaced by their means over the processes, differentiable where they are.

    Those of other tensors (noise on the embeddings) belong to this process's examples and stay.
    """
    if processes() == 1:
        return tuple(gradients)
    pairs = zip(gradients, tensors, strict=True)
    return tuple(
        _Average.apply(gradient) if isinstance(tensor, nn.Parameter) and gradient is not None else gradient
        for gradient, tensor in pairs
    )


def average_gradients(model: nn.Module) -> None:
    """From now on, average the gradient of each of the model's parameters as soon as a backward pass has left it.

    Two backward passes into one gradient are averaged right too: the first one's part is the same in all processes.
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
    """Drift when a sum over all weights differs between the processes, e.g. by random decisions of a method's own."""
    if processes() == 1:
        return
    sums = torch.stack([parameter.double().abs().sum() for parameter in model.parameters()])
    highest, lowest = sums.clone(), sums.clone()
    distributed.all_reduce(highest, distributed.ReduceOp.MAX)
    distributed.all_reduce(lowest, distributed.ReduceOp.MIN)
    if not torch.allclose(highest, lowest, rtol=1e-5, atol=1e-8, equal_nan=True):
        raise Drift(
            "the processes of this run no longer hold the same weights: its method decides something in each process "
            "for itself; take random numbers from amix.random_streams, or run it in one process"
        )
