"""Additions of learned vectors to an encoder's input, and to the keys and values of its attention.

Export writes the source of these classes beside their weights, so that they use torch, nn, functional and Any alone.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class VirtualTokens(nn.Module):
    """Vectors [count, width] before the embedded tokens of every text; what comes out are the states of the text alone.

    encoder, where given, makes the vectors from the numbers 0 to count - 1.
    """

    def __init__(self, count: int, width: int, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {"count": count, "width": width}
        self.count = count
        self.encoder = encoder
        if encoder is None:
            self.vectors = nn.Parameter(torch.zeros(count, width))

    def forward(self) -> torch.Tensor:
        """The vectors."""
        if self.encoder is None:
            return self.vectors
        vectors: torch.Tensor = self.encoder(torch.arange(self.count, device=next(self.parameters()).device))
        return vectors

    def attach(self, body: nn.Module) -> None:
        """Put the vectors before whatever this encoder reads, and leave them out of what it gives."""
        body.register_forward_pre_hook(self.prepend, with_kwargs=True)
        body.register_forward_hook(self.cut)
        pooler = getattr(body, "pooler", None)
        if pooler is not None:
            pooler.register_forward_pre_hook(self.cut_pooled)

    def prepend(self, body: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        """Hook before the encoder."""
        ids = inputs["input_ids"] if "input_ids" in inputs else args[0]
        embedded = body.get_input_embeddings()(ids)
        vectors = self.before(embedded).to(embedded.dtype).expand(len(ids), -1, -1)
        inputs = inputs | {"input_ids": None, "inputs_embeds": torch.cat([vectors, embedded], dim=1)}
        for name, value in (("attention_mask", 1), ("token_type_ids", 0)):
            if inputs.get(name) is not None:
                inputs[name] = functional.pad(inputs[name], (self.count, 0), value=value)
        return (), inputs

    def before(self, embedded: torch.Tensor) -> torch.Tensor:
        """What stands before the embedded tokens."""
        return self()

    def cut(self, body: nn.Module, args: tuple[Any, ...], outputs: Any) -> Any:
        """Hook after the encoder."""
        outputs["last_hidden_state"] = outputs["last_hidden_state"][:, self.count :]
        return outputs

    def cut_pooled(self, pooler: nn.Module, args: tuple[Any, ...]) -> tuple[torch.Tensor]:
        """Hook before the encoder's pooler, which reads the first state."""
        return (args[0][:, self.count :],)


class Prefix(VirtualTokens):
    """Keys and values [count, blocks, 2, width] that every block's attention reads before those of the text.

    The text is preceded by empty tokens, whose keys and values are replaced in every block; so it works in every
    attention, with the positions that the tokens would have. names: last parts of the names of the projections to
    keys and values.
    """

    def __init__(self, count: int, width: int, names: tuple[str, str], encoder: nn.Module | None = None) -> None:
        super().__init__(count, width, encoder)
        self.arguments["names"] = names
        self.names = names
        self.given: torch.Tensor | None = None
        self.waiting: set[int] = set()

    def attach(self, body: nn.Module) -> None:
        """Set hooks on the projections to keys and values too."""
        super().attach(body)
        for which, wanted in enumerate(self.names):
            found = [module for name, module in body.named_modules() if name.rsplit(".", 1)[-1] == wanted]
            for block, projection in enumerate(found):
                projection.register_forward_hook(self.replacing(2 * block + which))

    def before(self, embedded: torch.Tensor) -> torch.Tensor:
        """Empty tokens; the keys and values are made once per pass."""
        vectors = self()
        self.given = vectors.view(self.count, -1, embedded.shape[-1])
        self.waiting = set(range(self.given.shape[1]))
        return embedded.new_zeros(1, self.count, embedded.shape[-1])

    def replacing(self, place: int) -> Any:
        """Hook that puts the keys or values of a block in place of those of the empty tokens."""

        def replace(projection: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            # DeBERTa-v3 projects its relative positions with the same layers, after the tokens.
            if self.given is None or place not in self.waiting:
                return output
            self.waiting.remove(place)
            learned = self.given[:, place].to(output.dtype).expand(len(output), -1, -1)
            return torch.cat([learned, output[:, self.count :]], dim=1)

        return replace

    def cut(self, body: nn.Module, args: tuple[Any, ...], outputs: Any) -> Any:
        """Forget the keys and values of this pass."""
        self.given = None
        return super().cut(body, args, outputs)
