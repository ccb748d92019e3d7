"""What the server asks of whatever it shows: a live simulation, a recorded run, a real swarm."""

from __future__ import annotations

from typing import Any, Protocol

from protovine.errors import ConfigError
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


def check_command(command: dict[str, Any], known: dict[str, tuple[str, ...]], some: frozenset[str]) -> dict[str, Any]:
    """The arguments of a command that the page sent.

    Parameters
    ----------
    command : dict
        With its name as ``do``.
    known : dict
        The arguments that each command takes.
    some : set of str
        Commands that need not have all of them.

    Raises
    ------
    ConfigError
        There is no such command, it takes other arguments, or nodes are no whole numbers.
    """
    name, arguments = command.get("do"), {key: value for key, value in command.items() if key != "do"}
    wanted = known.get(name) if isinstance(name, str) else None
    if wanted is None:
        raise ConfigError(f"unknown command '{str(name)[:40]}' (known: {', '.join(known)})")
    wrong = set(arguments) - set(wanted) if name in some else set(arguments) ^ set(wanted)
    if wrong:
        takes, got = ", ".join(wanted) or "nothing", ", ".join(sorted(arguments)) or "nothing"
        raise ConfigError(f"{name} takes {takes}, got {got}")
    for key in ("node", "a", "b"):
        if key in arguments and type(arguments[key]) is not int:
            raise ConfigError(f"{key} must be a whole number, got {arguments[key]!r}")
    nodes = arguments.get("nodes", [])
    if not isinstance(nodes, list) or any(type(node) is not int for node in nodes):
        raise ConfigError(f"nodes must be a list of whole numbers, got {nodes!r}")
    return arguments


def curves_of(boards: dict[str, Board], system: str, since: tuple[int, int]) -> dict[str, Any]:
    """The new points of one system's curves, with the mean accuracy of every other system beside it."""
    others = {name: board.curves for name, board in boards.items() if name != system}
    return boards[system].curves.since(since, others)
