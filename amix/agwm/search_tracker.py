"""Collecting the diagnostics while a search runs, on the device, so that no iteration waits for them."""

import torch
from torch import Tensor
from torch.nn import functional

from amix.agwm.diagnostics import DECILES, Noted, write
from amix.mixup.hypergradient import Hypergradient
from amix.mixup.weight_mixup import WeightMixup
from amix.training.fit import Fit


class SearchTracker:
    """The diagnostics of one split, until they are written."""

    def __init__(self, mixup: WeightMixup) -> None:
        self.mixup = mixup
        self.history: dict[Noted, list[Tensor]] = {}

    def note(self, name: Noted, value: Tensor) -> None:
        """Record a value of this iteration, of shape (), (modules,) or (modules, 11)."""
        self.history.setdefault(name, []).append(value)

    def note_lower_loss(self, loss: Tensor, fit: Fit) -> None:
        """Record the lower loss of this iteration, or add that of a further part of its batch."""
        value = fit.share_of_batch * loss.detach()
        if fit.part is None or fit.part.first:
            self.note(Noted.LOWER_LOSS, value)
        else:
            self.history[Noted.LOWER_LOSS][-1] += value

    @torch.no_grad()
    def note_hypergradient(self, hypergradient: Hypergradient) -> None:
        """Record the upper loss, the norms of direct and implicit term, and their cosine."""
        direct = torch.cat([part.flatten() for part in hypergradient.direct])
        self.note(Noted.UPPER_LOSS, hypergradient.upper_loss)
        self.note(Noted.DIRECT_NORM, direct.norm())
        if hypergradient.implicit is not None:
            implicit = torch.cat([part.flatten() for part in hypergradient.implicit])
            self.note(Noted.IMPLICIT_NORM, implicit.norm())
            self.note(Noted.DIRECT_IMPLICIT_COSINE, functional.cosine_similarity(direct, implicit, dim=0))

    @torch.no_grad()
    def note_attention(self, iteration: int) -> None:
        """Record the iteration, counted from 1, and per module the attention's mean, minimum and share at 1."""
        self.note(Noted.ATTENTION_ITERATION, torch.tensor(iteration))
        factors = self._factors()
        self.note(Noted.ATTENTION_MEAN, torch.stack([flat.mean() for flat in factors]))
        self.note(Noted.ATTENTION_MIN, torch.stack([flat.min() for flat in factors]))
        self.note(Noted.ATTENTION_AT_ONE, torch.stack([(flat == 1).float().mean() for flat in factors]))

    @torch.no_grad()
    def note_shares(self) -> None:
        """Record per module the means of A and B over the matrix, and the deciles of its attention factors."""
        shares = [mixed.task_share() for mixed in self.mixup.mixed]
        remainders = [mixed.pretrained_share(share) for mixed, share in zip(self.mixup.mixed, shares, strict=True)]
        factors = [flat.float() for flat in self._factors()]
        deciles = torch.linspace(0, 1, DECILES, device=factors[0].device)
        self.note(Noted.TASK_SHARE, torch.stack([share.mean() for share in shares]))
        self.note(Noted.PRETRAINED_SHARE, torch.stack([remainder.mean() for remainder in remainders]))
        self.note(Noted.ATTENTION_DECILES, torch.stack([flat.quantile(deciles) for flat in factors]))

    def write(self, fit: Fit) -> None:
        """Write all iterations, and the shares at the end, into Fit.diagnostics."""
        self.note_shares()
        noted = {name: torch.stack(values).float().cpu().numpy() for name, values in self.history.items()}
        write(fit.diagnostics, [mixed.module for mixed in self.mixup.mixed], noted)

    def _factors(self) -> list[Tensor]:
        return [torch.cat([values.flatten() for values in mixed.attention()]) for mixed in self.mixup.mixed]
