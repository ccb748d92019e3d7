"""Sharing by whole models: what is offered to a peer are the bytes of the learner's model."""

from __future__ import annotations

from typing import Any

from protovine.share.codec import SetLimits
from protovine.share.sets import Offer


class WholeModels:
    """Offers the learner's model to every peer that gossip names, whatever it knows already.

    Parameters
    ----------
    limits : SetLimits
        Shape of the samples.

    Examples
    --------
    >>> share = WholeModels(SetLimits(dim=1, n_classes=2))
    >>> share.offer(b"model", max_bytes=100).payload, share.offer(b"model", max_bytes=3).gate, share.offer(b"", 100)
    (b'model', 'size', None)
    """

    def __init__(self, limits: SetLimits) -> None:
        self.limits = limits

    def offer(self, model: bytes, max_bytes: int) -> Offer | None:
        """The model as an offer of no prototypes; None without one. ``"size"`` holds it back above ``max_bytes``."""
        if not model:
            return None
        if len(model) > max_bytes:
            return Offer(None, 1.0, 0, "size")
        return Offer(model, 1.0, 0, "always")

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to do."""
