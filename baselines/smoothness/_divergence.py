"""Divergence between two sets of predictions."""

from torch import Tensor
from torch.nn import functional


def symmetric_divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(p||q) + KL(q||p), with p and q given by logits [batch, classes]; mean over the batch."""
    log_p, log_q = functional.log_softmax(first, dim=-1), functional.log_softmax(second, dim=-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1).mean()
