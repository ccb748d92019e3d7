"""One independent random generator per purpose and node, so that adding a consumer never shifts another's numbers."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The generator that ``names`` own under ``seed``: the same numbers in every process and on every run.

    Parameters
    ----------
    seed : int >= 0
        The experiment's seed.
    *names : str or int
        What the numbers are for, from the general to the particular, for example ``"arrivals", 3``.

    Raises
    ------
    ValueError
        The seed is negative.

    Examples
    --------
    >>> stream(7, "arrivals", 0).integers(1000) == stream(7, "arrivals", 0).integers(1000)
    np.True_
    >>> stream(7, "arrivals", 0).integers(10**9) == stream(7, "arrivals", 1).integers(10**9)
    np.False_
    """
    if seed < 0:
        raise ValueError(f"seed must be >= 0, got {seed}")
    # The type of a name is part of it: node 1 and a purpose called "1" are different streams.
    text = "\x1f".join(f"{type(name).__name__}:{name}" for name in names)
    words = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words.tolist()])))
