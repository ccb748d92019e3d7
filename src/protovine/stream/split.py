"""Who gets which row: five ways to share one stream out to the nodes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, suggest
from protovine.rng import stream
from protovine.stream.dataset import DataSet

# Each kind, and whether it takes an ALPHA.
KINDS = {"interleave": False, "shuffle": False, "blocks": False, "label-skew": True, "quantity-skew": True}

# Shares drawn with a larger concentration are equal to the last bit; NumPy's sampler fails near the largest float.
_ALPHA_MAX = 1e15


@dataclass(frozen=True)
class Split:
    """One of `KINDS`, with its concentration `alpha` when it takes one; `str()` gives the text back."""

    kind: str
    alpha: float | None = None

    def __str__(self) -> str:
        return self.kind if self.alpha is None else f"{self.kind}:{self.alpha!r}"


def parse_split(text: str) -> Split:
    """The split that `text` names.

    - ``interleave``: node i of n gets rows i, i+n, i+2n, …
    - ``shuffle``: a random permutation of all rows, then interleaved.
    - ``blocks``: node i gets the i-th of n contiguous blocks, whose sizes differ by at most one.
    - ``label-skew:ALPHA``: each class has its own node shares from Dirichlet(ALPHA), by which each row is drawn.
    - ``quantity-skew:ALPHA``: one set of node shares from Dirichlet(ALPHA), by which each row is drawn.

    The smaller ALPHA > 0, the more uneven.

    Raises
    ------
    ConfigError
        Unknown name, a missing, superfluous or unreadable ALPHA, or one that is not above 0 and finite.

    References
    ----------
    T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the effects of non-identical data distribution for federated visual
    classification", arXiv:1909.06335, 2019 (label skew); Q. Li et al., "Federated learning on non-IID data silos",
    ICDE 2022 (quantity skew).

    Examples
    --------
    >>> parse_split("label-skew:0.5")
    Split(kind='label-skew', alpha=0.5)
    >>> parse_split("blocs")
    Traceback (most recent call last):
    protovine.errors.ConfigError: unknown split 'blocs' (did you mean 'blocks'?)
    """
    kind, colon, number = text.partition(":")
    if kind not in KINDS:
        raise ConfigError(f"unknown split {text!r}{suggest(kind, KINDS)}")
    if not KINDS[kind]:
        if colon:
            raise ConfigError(f"split {kind} takes no number, got {text!r}")
        return Split(kind)
    try:
        alpha = float(number)
    except ValueError:
        raise ConfigError(f"split {kind} needs a number: {kind}:ALPHA with ALPHA > 0, got {text!r}") from None
    if not (math.isfinite(alpha) and alpha > 0):
        raise ConfigError(f"ALPHA of split {kind} must be > 0 and finite, got {number}")
    return Split(kind, alpha)


def merged_order(n_rows: int, split: Split | str, seed: int) -> npt.NDArray[np.int64]:
    """Row indices in the order of the merged stream, shape (n_rows,): 0, 1, 2, … except for ``shuffle``.

    Examples
    --------
    >>> merged_order(4, "blocks", seed=0).tolist()
    [0, 1, 2, 3]
    """
    if _parsed(split).kind == "shuffle":
        return stream(seed, "split").permutation(n_rows).astype(np.int64, copy=False)
    return np.arange(n_rows, dtype=np.int64)


def split_rows(
    data_or_y: DataSet | npt.ArrayLike, n_nodes: int, split: Split | str, seed: int
) -> list[npt.NDArray[np.int64]]:
    """Each node's row indices, in the order in which it meets them.

    Every row goes to exactly one node. A node may get none.

    Parameters
    ----------
    data_or_y : DataSet or array, shape (n,)
        The rows' labels; any type that NumPy can sort.
    n_nodes : int >= 1
    split : Split or str
        See `parse_split`.
    seed : int >= 0

    Returns
    -------
    list of n_nodes int64 arrays

    Raises
    ------
    ConfigError
        The split or the number of nodes is out of range.

    Examples
    --------
    >>> [rows.tolist() for rows in split_rows([0, 1, 0, 1, 0], 2, "interleave", seed=0)]
    [[0, 2, 4], [1, 3]]
    """
    split = _parsed(split)
    y = data_or_y.y if isinstance(data_or_y, DataSet) else np.asarray(data_or_y)
    if y.ndim != 1:
        raise ConfigError(f"labels must have the shape (rows,), got {y.shape}")
    if n_nodes < 1:
        raise ConfigError(f"the number of nodes must be at least 1, got {n_nodes}")
    order = merged_order(len(y), split, seed)
    if split.kind == "blocks":
        return np.array_split(order, n_nodes)
    if split.alpha is None:
        return [order[node::n_nodes] for node in range(n_nodes)]
    rng = stream(seed, "split")
    # Quantity skew is label skew in which all rows are of one class.
    _, codes = np.unique(y if split.kind == "label-skew" else np.zeros(len(y)), return_inverse=True)
    shares = rng.dirichlet(np.full(n_nodes, min(split.alpha, _ALPHA_MAX)), size=codes.max(initial=-1) + 1)
    draws = rng.random(len(y))
    nodes = np.empty(len(y), dtype=np.int64)
    for code, edges in enumerate(np.cumsum(shares, axis=1)):
        chosen = codes == code
        # Rounding may leave the last edge a hair below 1.
        nodes[chosen] = np.minimum(np.searchsorted(edges, draws[chosen], side="right"), n_nodes - 1)
    return [order[nodes == node] for node in range(n_nodes)]


def _parsed(split: Split | str) -> Split:
    return parse_split(split) if isinstance(split, str) else split
