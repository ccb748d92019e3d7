"""What the server asks of whatever it shows: a live simulation, a recorded run, a real swarm."""

from __future__ import annotations

from typing import Any, Protocol

from protovine.watch.board import Board


class Source(Protocol):
    """One thing to watch. The server calls it from several threads."""

    def about(self) -> dict[str, Any]:
        """What does not change: title, systems, nodes, links, and what may be done."""
        ...

    def status(self) -> dict[str, Any]:
        """Whether it runs, and how far it is."""
        ...

    def frame(self, system: str) -> dict[str, Any] | None:
        """The picture of a system now; None before there is one."""
        ...

    def curves(self, system: str, since: tuple[int, int]) -> dict[str, Any]:
        """The points of all curves after a cursor (times thinned, points); all of them after (-1, 0)."""
        ...

    def inside(self, system: str, node: int, at: int | None) -> dict[str, Any]:
        """The prototypes of one node on the map, and who trusts whom, or an ``error`` that says why it is not known."""
        ...

    def act(self, command: dict[str, Any]) -> None:
        """Do something by hand; `ConfigError` if that cannot be done."""
        ...

    def close(self) -> None:
        """The server ends."""
        ...


def curves_of(boards: dict[str, Board], system: str, since: tuple[int, int]) -> dict[str, Any]:
    """The new points of one system's curves, with the mean accuracy of every other system beside it."""
    others = {name: board.curves for name, board in boards.items() if name != system}
    return boards[system].curves.since(since, others)
