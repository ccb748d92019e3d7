"""Sharing of whole models: the bytes of the learner's model as an offer."""

from __future__ import annotations

from protovine.share.sets import Offer


class WholeModels:
    """Offers the learner's model to every peer that the schedule names.

    Examples
    --------
    >>> share = WholeModels()
    >>> share.offer(b"model", max_bytes=100).payload, share.offer(b"model", max_bytes=3).gate, share.offer(b"", 100)
    (b'model', 'size', None)
    """

    def offer(self, model: bytes, max_bytes: int) -> Offer | None:
        """The model as an offer; None without a model. ``"size"`` holds it back above ``max_bytes``."""
        if not model:
            return None
        if len(model) > max_bytes:
            return Offer(None, 1.0, 0, "size")
        return Offer(model, 1.0, 0, "always")
