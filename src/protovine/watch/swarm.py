"""A real swarm: its members are asked for their status once a second, and an operator with the token commands them."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from protovine.errors import ConfigError, ProtovineError
from protovine.net.operate import Operator
from protovine.net.security.commands import Action, action_of
from protovine.watch.members import Members
from protovine.watch.source import check_command

_log = logging.getLogger("protovine")

PERIOD_S = 1.0
# What may be done to real nodes, with the arguments that it takes.
_COMMANDS: dict[str, tuple[str, ...]] = {
    "stop": ("node",),
    "cut": ("a", "b"),
    "mend": ("a", "b"),
    "pause-sharing": ("nodes",),
    "resume-sharing": ("nodes",),
    "retune": ("nodes", "fanout", "share_probability", "budget_bytes_per_s"),
}
READ_ONLY = "Read only: start `protovine watch --swarm` with --control and the token to change nodes."


class Swarm:
    """Asks the members of a running swarm, as ``protovine status`` does, and shows their answers.

    Parameters
    ----------
    name : str
        Of the swarm.
    ask : callable
        Returns the statuses of all members that answer, by id, as JSON.
    operator : Operator, optional
        Gives commands; without one the swarm can only be watched.
    """

    def __init__(self, name: str, ask: Callable[[], dict[int, bytes]], operator: Operator | None = None) -> None:
        self._name, self._ask, self._operator = name, ask, operator
        self._members = Members()
        self._error: str | None = None
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._poll, name="protovine-swarm", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()

    def about(self) -> dict[str, Any]:
        """The members that are known so far."""
        with self._lock:
            members = self._members
            system = {
                "name": self._name,
                "about": "real nodes" + (", read only" if self._operator is None else ""),
                "links": sorted(members.links),
                "nodes": len(members.names),
                "shares": True,
                "theory": None,
            }
            return {
                "mode": "swarm",
                "ready": bool(members.names),
                "title": f"swarm {self._name}",
                "classes": [],
                "names": list(members.names),
                "systems": [system],
                "end": None,
                "controls": [] if self._operator is None else list(_COMMANDS),
                "read_only": READ_ONLY if self._operator is None else None,
                "version": members.version,
                "drifts": {},
                "attacks": [],
            }

    def status(self) -> dict[str, Any]:
        """Whether anybody answers; ``version`` grows when `about` changes."""
        state = "running" if self._members.names else "starting"
        return {"state": state, "speed": 0.0, "error": self._error, "by_hand": [], "version": self._members.version}

    def frame(self, system: str) -> dict[str, Any] | None:
        """The picture now."""
        with self._lock:
            return self._members.frame() if self._members.names else None

    def curves(self, system: str, since: tuple[int, int]) -> dict[str, Any]:
        """New points of the curves."""
        with self._lock:
            return self._members.curves.since(since, {})

    def inside(self, system: str, node: int, at: int | None) -> dict[str, Any]:
        """Members tell only their peers what they have learnt."""
        return {"error": "Real nodes do not show their prototypes."}

    def act(self, command: dict[str, Any]) -> None:
        """Give members commands; `ConfigError` says which of them did not carry them out, and why."""
        if self._operator is None:
            raise ConfigError(READ_ONLY)
        arguments = check_command(command, _COMMANDS, frozenset({"retune", "pause-sharing", "resume-sharing"}))
        with self._lock:
            commands = self._commands(command["do"], arguments)
        failed = [done for done in self._operator.send(commands) if not done.good]
        if failed:
            said = "; ".join(f"{self._members.name_of(done.node)}: {done.text}" for done in failed[:5])
            more = f", and {len(failed) - 5} more" if len(failed) > 5 else ""
            raise ConfigError(f"{len(failed)} of {len(commands)} did not do it: {said}{more}")

    def _commands(self, name: str, arguments: dict[str, Any]) -> list[tuple[int, Action]]:
        """Commands by the ids of members; the page knows members by their places."""
        members = self._members
        if name in ("cut", "mend"):
            a, b = members.id_at(arguments["a"]), members.id_at(arguments["b"])
            if a == b:
                raise ConfigError(f"a link needs two different nodes, got {arguments['a']} twice")
            # One end is enough: it neither sends nor reads. A link may be cut at either end, or at both.
            ends = [(a, b)] if name == "cut" else [(x, y) for x, y in ((a, b), (b, a)) if members.has_cut(x, y)]
            if not ends:
                raise ConfigError("this link was not cut by hand")
            return [(x, action_of({"do": name, "peer": y})) for x, y in ends]
        nodes = [arguments.pop("node")] if "node" in arguments else arguments.pop("nodes", [])
        ids = [members.id_at(node) for node in nodes] or members.controlled
        if not ids:
            raise ConfigError("no node takes commands")
        return [(member, action_of({"do": name, **arguments})) for member in ids]

    def _poll(self) -> None:
        began_s = time.monotonic()
        while not self._stop.is_set():
            asked_s = time.monotonic()
            try:
                answers = self._ask()
                self._error = None if answers else "no member answers"
            except ProtovineError as error:
                answers, self._error = {}, str(error)
            except Exception as error:  # Of the network's library; the next question may be answered.
                if self._error is None:
                    _log.exception("members could not be asked")
                answers, self._error = {}, f"{type(error).__name__}: {error}"
            with self._lock:
                self._members.take([_decoded(answer) for answer in answers.values()], time.monotonic() - began_s)
            self._stop.wait(max(0.0, PERIOD_S - (time.monotonic() - asked_s)))


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return None
