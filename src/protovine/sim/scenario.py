"""What a run in the simulator depends on, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protovine.errors import check_range
from protovine.node import Node
from protovine.sim.clocks import SkewedClock
from protovine.sim.devices import DeviceChange
from protovine.sim.faults import Fault, check_faults
from protovine.sim.invariants import Invariants
from protovine.sim.medium import MediumPlan
from protovine.sim.mobility import Changes
from protovine.sim.network import Link


@dataclass(frozen=True)
class Scenario:
    """Everything that a run depends on, except the construction of its nodes.

    Parameters
    ----------
    x : float64 array, shape (rows, d)
    y : int64 array, shape (rows,)
        Samples and class codes.
    rows : list of int arrays
        For each node the rows that it gets, in order.
    at_ns : list of int arrays
        When it gets them, ascending.
    seed : int
        For links and labels.
    link : Link
    faults : tuple of faults
    label_delay_ns : int >= 0
        Labels come this long after the samples.
    labelled : float in [0, 1]
        Fraction of the samples whose label comes at all.
    clocks : tuple of `SkewedClock`
        The clock of each node; exact clocks if empty.
    owner : int array, shape (rows,), optional
        Whose drift each row follows, where one node gets the rows of others; by default that of the node that gets it.
    links : tuple of tuples of int
        For each node those in its range at the start; needed with ``changes`` or a ``medium``.
    changes : Changes, optional
        Who is in range later. Without a medium, messages to others are lost.
    medium : MediumPlan, optional
        A medium that all nodes share, in place of one link for each pair.
    devices : tuple of `DeviceChange`
        When devices become faster or slower, or get another bandwidth; when they are up is among the faults.
    measured : int array, optional
        The rows that drift and attacks are measured by, and draw from; all by default. See `Streams`.

    Raises
    ------
    ConfigError
        A value is out of range, or a fault is impossible with these nodes and the other faults.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    rows: list[NDArray[np.int64]]
    at_ns: list[NDArray[np.int64]]
    seed: int = 0
    link: Link = field(default_factory=Link)
    faults: tuple[Fault, ...] = ()
    label_delay_ns: int = 0
    labelled: float = 1.0
    clocks: tuple[SkewedClock, ...] = ()
    owner: NDArray[np.int64] | None = None
    links: tuple[tuple[int, ...], ...] = ()
    changes: Changes | None = None
    medium: MediumPlan | None = None
    devices: tuple[DeviceChange, ...] = ()
    measured: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        check_range("label_delay_ns", self.label_delay_ns, 0)
        check_range("labelled", self.labelled, 0, 1)
        check_faults(self.faults, len(self.rows) if self.owner is None else int(self.owner.max(initial=0)) + 1)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: the nodes at ``virtual_ns`` (None: down), and the network's byte counts."""

    nodes: list[Node | None]
    virtual_ns: int
    books: Invariants
