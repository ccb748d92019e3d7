"""Inside the nodes: prototypes on a map that stays where it is, and the trust between nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protovine.learn.base import KnowsSenders
from protovine.node import Node
from protovine.stream import DataSet

# Rows from which the map is made, and prototypes that it shows.
_ROWS_MAX, SHOWN_MAX = 5000, 400


@dataclass(frozen=True)
class Projection:
    """A fixed linear map of samples (n, d) to the plane: the two directions in which standardised data vary most.

    It comes from the data set and never changes, so a prototype moves on the map only if it moves.

    Examples
    --------
    >>> plane = Projection(np.zeros(2), np.eye(2), ("x", "y"), (-1.0, 1.0, -1.0, 1.0))
    >>> plane.of_rows(np.array([[0.5, 2.0]])).tolist()
    [[0.5, 2.0]]
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    names: tuple[str, str]
    bounds: tuple[float, float, float, float]

    @classmethod
    def of(cls, data: DataSet) -> Projection:
        """The map of a data set; with two features it shows them as they are."""
        x = np.asarray(data.x[:: max(1, len(data) // _ROWS_MAX)], np.float64)
        mean = np.nanmean(x, axis=0)
        x = np.where(np.isnan(x), mean, x)
        if x.shape[1] == 2:
            axes, names = np.eye(2), (str(data.features[0]), str(data.features[1]))
        elif x.shape[1] == 1:
            axes, names = np.array([[1.0], [0.0]]), (str(data.features[0]), "")
        else:
            scale = x.std(axis=0)
            scaled = (x - mean) / np.where(scale > 0, scale, 1.0)
            _, _, directions = np.linalg.svd(scaled, full_matrices=False)
            axes = directions[:2]
            # The sign of a direction is arbitrary: let its largest part be positive.
            axes = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, np.newaxis]
            axes = axes / np.where(scale > 0, scale, 1.0)
            names = ("principal component 1", "principal component 2")
        made = cls(mean if x.shape[1] > 2 else np.zeros(x.shape[1]), axes, names, (0.0, 1.0, 0.0, 1.0))
        places = made.of_rows(x)
        low, high = np.percentile(places, 1, axis=0), np.percentile(places, 99, axis=0)
        margin = np.maximum(0.1 * (high - low), 1e-9)
        (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
        return cls(made.mean, made.axes, made.names, (left, right, bottom, top))

    def of_rows(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Places (n, 2) of rows (n, d)."""
        return np.asarray((np.asarray(x, np.float64) - self.mean) @ self.axes.T)


def inside_of(nodes: Sequence[Node | None], number: int, projection: Projection) -> dict[str, Any]:
    """The prototypes of a node on the map, its newest choices, and the trust between all nodes."""
    found: dict[str, Any] = {
        "node": number,
        "axes": list(projection.names),
        "bounds": list(projection.bounds),
        "prototypes": [],
        "choices": [],
        "trust": [_trust(node) for node in nodes],
    }
    node = nodes[number]
    if node is None:
        return found
    held = node.learner.prototypes()
    order = np.argsort(-held.weight, kind="stable")[:SHOWN_MAX]
    places = projection.of_rows(held.x[order])
    of = node.learner.origins() if isinstance(node.learner, KnowsSenders) else np.full(len(held), -1)
    found["held"] = len(held)
    found["now"] = node.now_ns / 1e9
    found["prototypes"] = [
        [
            round(float(a), 4),
            round(float(b), 4),
            int(label),
            round(float(weight), 2),
            int(origin),
            round(at_ns / 1e9, 2),
        ]
        for (a, b), label, weight, origin, at_ns in zip(
            places, held.label[order], held.weight[order], of[order], held.event_ns[order].tolist(), strict=True
        )
    ]
    choices = getattr(node.exchange, "choices", ())
    found["choices"] = [
        {
            "at": round(choice.at_ns / 1e9, 2),
            "place": [round(float(each), 4) for each in projection.of_rows(choice.x[np.newaxis])[0]],
            "label": choice.label,
            "inserted": choice.inserted,
            "surprisal": round(choice.surprisal, 3),
            "shared": choice.shared,
        }
        for choice in choices
    ]
    return found


def _trust(node: Node | None) -> dict[int, float] | None:
    """The factor, from 0 to 1, on what each sender says; None for a node that is down or trusts blindly."""
    if node is None or not isinstance(node.learner, KnowsSenders):
        return None
    return {origin: round(factor, 3) for origin, factor in sorted(node.learner.trust.items())}
