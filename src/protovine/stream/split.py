"""Splits: how the rows of one stream are divided among nodes: IID, non-IID, by groups of the data, or by a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protovine.errors import ConfigError, DataError, suggest
from protovine.rng import stream
from protovine.stream.dataset import DataSet

# The kinds of split, and whether each takes an ALPHA.
KINDS = {
    "interleave": False,
    "shuffle": False,
    "blocks": False,
    "group": False,
    "label-skew": True,
    "quantity-skew": True,
}
FILE = "file"

# With a larger concentration all fractions are equal to the last bit; NumPy's sampler fails near the largest float.
_ALPHA_MAX = 1e15


@dataclass(frozen=True)
class Split:
    """One of `KINDS`, with its `alpha` if it takes one, or a file; `str()` is the text of `parse_split`."""

    kind: str
    alpha: float | None = None
    path: Path | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"{self.kind}:{self.path}"
        return self.kind if self.alpha is None else f"{self.kind}:{self.alpha!r}"

    @property
    def uneven(self) -> bool:
        """Whether nodes get unequal numbers of rows."""
        return self.alpha is not None or self.path is not None or self.kind == "group"


def parse_split(text: str) -> Split:
    """The split that `text` names.

    - ``interleave``: node i of n gets rows i, i+n, i+2n, …
    - ``shuffle``: a random permutation of all rows, then interleaved.
    - ``blocks``: node i gets the i-th of n contiguous blocks, whose sizes differ by at most one.
    - ``group``: node i gets all rows of the i-th group of the data set (`DataSet.groups`); with more groups than nodes
      also those of group i+n, i+2n, …
    - ``label-skew:ALPHA``: for each class, node probabilities are drawn from Dirichlet(ALPHA); each row of the class
      goes to a random node with these probabilities.
    - ``quantity-skew:ALPHA``: the same with one draw of node probabilities for all rows.
    - ``file:PATH``: line k of a text file has the number of the node, from 0, that gets row k.

    The smaller ALPHA > 0, the more uneven the split.

    Raises
    ------
    ConfigError
        The name is unknown, ALPHA is missing, superfluous, not a number, or not above 0 and finite, or PATH is missing.

    References
    ----------
    T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the effects of non-identical data distribution for federated visual
    classification", arXiv:1909.06335, 2019 (label skew); Q. Li et al., "Federated learning on non-IID data silos",
    ICDE 2022 (quantity skew).

    Examples
    --------
    >>> parse_split("label-skew:0.5").alpha
    0.5
    >>> parse_split("blocs")
    Traceback (most recent call last):
    protovine.errors.ConfigError: unknown split 'blocs' (did you mean 'blocks'?)
    """
    kind, colon, number = text.partition(":")
    if kind == FILE:
        if not number:
            raise ConfigError(f"split file needs a path: file:PATH, got {text!r}")
        return Split(FILE, path=Path(number))
    if kind not in KINDS:
        dirichlet = " (label-skew:ALPHA draws from Dirichlet(ALPHA))"
        hint = dirichlet if kind == "dirichlet" else suggest(kind, [*KINDS, FILE])
        raise ConfigError(f"unknown split {text!r}{hint}")
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
    """Row indices in the order of the stream before the split, shape (n_rows,): ascending, except for ``shuffle``.

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
    """The row indices of each node, in stream order.

    Every row goes to exactly one node. A node may get no row.

    Parameters
    ----------
    data_or_y : DataSet or array, shape (n,)
        The labels of the rows, of any type that NumPy can sort. The split ``group`` needs a `DataSet` with groups.
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
        The split or the number of nodes is out of range, or there are no groups, or fewer than nodes.
    DataError
        The file of the split cannot be read, has fewer lines than there are rows, or a line is no number of a node.

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
    if split.kind == "group":
        nodes = _nodes_of_groups(data_or_y, n_nodes)
        return [order[nodes == node] for node in range(n_nodes)]
    if split.path is not None:
        nodes = nodes_of_file(split.path, n_nodes)
        if len(nodes) < len(y):
            raise DataError(f"{split.path} has a node for {len(nodes):,} rows, and there are {len(y):,}")
        return [order[nodes[: len(y)] == node] for node in range(n_nodes)]
    if split.alpha is None:
        return [order[node::n_nodes] for node in range(n_nodes)]
    rng = stream(seed, "split")
    # Quantity skew is label skew with all rows in one class.
    _, codes = np.unique(y if split.kind == "label-skew" else np.zeros(len(y)), return_inverse=True)
    probabilities = rng.dirichlet(np.full(n_nodes, min(split.alpha, _ALPHA_MAX)), size=codes.max(initial=-1) + 1)
    draws = rng.random(len(y))
    nodes = np.empty(len(y), dtype=np.int64)
    for code, edges in enumerate(np.cumsum(probabilities, axis=1)):
        chosen = codes == code
        # After rounding, the last edge may be slightly below 1.
        nodes[chosen] = np.minimum(np.searchsorted(edges, draws[chosen], side="right"), n_nodes - 1)
    return [order[nodes == node] for node in range(n_nodes)]


def _nodes_of_groups(data: DataSet | npt.ArrayLike, n_nodes: int) -> npt.NDArray[np.int64]:
    if not isinstance(data, DataSet) or data.groups is None:
        raise ConfigError("split group needs the column that says which group a row belongs to: set data.group to it")
    present, places = np.unique(data.groups, return_inverse=True)
    if len(present) < n_nodes:
        raise ConfigError(f"split group: {data.name} has {len(present)} groups, too few for {n_nodes} nodes")
    return places % n_nodes


def nodes_of_file(path: Path, n_nodes: int) -> npt.NDArray[np.int64]:
    """The node of each row in a file of numbers, one a line; `DataError` unless all are between 0 and n_nodes - 1.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "nodes.txt").write_text("0\\n1\\n1\\n")
    ...     nodes_of_file(Path(folder, "nodes.txt"), n_nodes=2).tolist()
    [0, 1, 1]
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"cannot read {path}: {reason}") from None
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines):
        text = line.strip()
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < n_nodes):
            raise DataError(f"{path}, line {number + 1}: a node is a number from 0 to {n_nodes - 1}, got {text[:40]!r}")
    return np.array(list(map(int, lines)), np.int64)


def _parsed(split: Split | str) -> Split:
    return parse_split(split) if isinstance(split, str) else split
