"""Micro-batches: a batch goes through the model in parts, whose gradients add up to those of the whole batch.

Every part has the random draws that its examples have in the whole batch, so that dropout does not depend on the size
of the parts. Each part starts from the random state of the first one; what is drawn with one row per example (dropout
masks, noise) is drawn for the whole batch and cut to the part's rows, and what all examples share is drawn alike in
every part. This costs the memory of one mask at a time, and holds on the CPU and on a GPU, with one exception: fused
attention kernels of a GPU draw their masks inside. There every part has masks of its own, from the same distribution;
`redrawn` counts these calls, and records state them. The GPU's branches were written without one and have not run yet.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.in_place import RandomState

_aten = torch.ops.aten
_FILLS = (_aten.bernoulli_.float, _aten.uniform_.default, _aten.normal_.default)
_LIKE = (_aten.rand_like.default, _aten.randn_like.default, _aten.bernoulli.p)
COPIES = (1, 2)
"""How often a method may repeat its batch in one pass, one copy after the other."""


@dataclass(frozen=True)
class Part:
    """A part of a batch.

    Attributes:
        rows: Its examples.
        whole: The whole batch.
    """

    rows: slice
    whole: Batch

    @property
    def examples(self) -> int:
        """Number of examples of the whole batch."""
        return len(self.whole["labels"])

    @property
    def share(self) -> float:
        """Its share of the examples."""
        return (self.rows.stop - self.rows.start) / self.examples

    @property
    def first(self) -> bool:
        """Whether it is the first part."""
        return bool(self.rows.start == 0)

    @property
    def last(self) -> bool:
        """Whether it is the last part."""
        return bool(self.rows.stop == self.examples)

    def batch(self) -> Batch:
        """Its rows of the whole batch, padded like that."""
        return {name: tensor[self.rows] for name, tensor in self.whole.items()}


def parts(batch: Batch, most: int | None) -> list[Part]:
    """Split a batch into parts of at most this many examples; the list is empty if it need not be split."""
    count = len(batch["labels"])
    if most is None or most >= count:
        return []
    return [Part(slice(start, min(start + most, count)), batch) for start in range(0, count, most)]


@dataclass
class WholeDraws:
    """The random draws of a batch that goes through the model in parts.

    Attributes:
        device: The model's device.
        start: State of the global generators before the first part.
        own: States of methods' generators when the first part drew from them.
        redrawn: Fused attention calls whose masks are not those of the whole batch.
    """

    device: torch.device
    start: RandomState = field(init=False)
    own: dict[torch.Generator, Tensor] = field(default_factory=dict)
    redrawn: int = 0

    def __post_init__(self) -> None:
        self.start = RandomState.capture(self.device)

    @contextmanager
    def of(self, part: Part) -> Iterator[None]:
        """Within the context, draw what the part's examples get in the whole batch."""
        if not part.first:
            self.start.restore()
        with _Cutting(part, self):
            yield


class _Cutting(TorchDispatchMode):
    """Cuts random draws with one row per example out of those for the whole batch."""

    def __init__(self, part: Part, draws: WholeDraws) -> None:
        super().__init__()
        self.part, self.draws = part, draws
        self.seen: set[torch.Generator] = set()

    @override
    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        self._rewind(options.get("generator"))
        if function in _FILLS and self._has_rows(args[0]):
            return args[0].copy_(self._cut(function(self._for_all(args[0]), *args[1:], **options), args[0]))
        if function in _LIKE and self._has_rows(args[0]):
            return self._cut(function(self._for_all(args[0]), *args[1:], **options), args[0])
        if function is _aten.native_dropout.default and args[2] is not False and self._has_rows(args[0]):
            _, kept = function(self._for_all(args[0]).fill_(1.0), *args[1:], **options)
            mask = self._cut(kept, args[0])
            return args[0] * mask / (1.0 - args[1]), mask
        if "_scaled_dot_product" in function.__name__ and _dropout(function, args, options) > 0.0:
            return self._redrawn(function, args, options)
        return function(*args, **options)

    def _rewind(self, generator: torch.Generator | None) -> None:
        """Set a method's generator, when a part first draws from it, to its state at the first part's first draw."""
        if generator is None or generator in self.seen:
            return
        self.seen.add(generator)
        if generator in self.draws.own:
            generator.set_state(self.draws.own[generator])
        else:
            self.draws.own[generator] = generator.get_state()

    def _has_rows(self, tensor: Tensor) -> bool:
        rows = self.part.rows.stop - self.part.rows.start
        return tensor.dim() > 0 and len(tensor) in [copies * rows for copies in COPIES]

    def _for_all(self, tensor: Tensor) -> Tensor:
        """An empty tensor with the rows of the whole batch."""
        copies = len(tensor) // (self.part.rows.stop - self.part.rows.start)
        return tensor.new_empty(copies * self.part.examples, *tensor.shape[1:])

    def _cut(self, drawn: Tensor, like: Tensor) -> Tensor:
        """The part's rows of every copy of the batch."""
        copies = len(drawn) // self.part.examples
        return drawn.unflatten(0, (copies, self.part.examples))[:, self.part.rows].reshape(like.shape)

    def _redrawn(self, function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Call a fused kernel with a seed of the part's own, or all parts would have the masks of the first one."""
        self.draws.redrawn += 1
        generator = torch.cuda.default_generators[args[0].device.index]
        seed, offset = generator.initial_seed(), generator.get_offset()
        generator.manual_seed(seed + self.part.rows.start)
        generator.set_offset(offset)
        try:
            return function(*args, **options)
        finally:
            offset = generator.get_offset()
            generator.manual_seed(seed)
            generator.set_offset(offset)


def _dropout(function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> float:
    """The dropout rate with which an attention kernel is called."""
    for place, argument in enumerate(function._schema.arguments):
        if argument.name == "dropout_p":
            given = args[place] if place < len(args) else options.get("dropout_p", argument.default_value)
            return float(given or 0.0)
    return 0.0


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that the machine ran out of memory; torch and Python have several such errors."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return device_full(error) or isinstance(error, MemoryError)


def device_full(error: BaseException) -> bool:
    """Whether torch could not allocate memory on the device; beside its own error there are plain RuntimeErrors."""
    words = ("can't allocate memory", "out of memory", "_STATUS_ALLOC_FAILED")
    plain = isinstance(error, RuntimeError) and any(part in str(error) for part in words)
    return plain or isinstance(error, torch.OutOfMemoryError)
