"""A real swarm, read only: its members are asked for their status once a second."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from protovine.errors import ConfigError, ProtovineError
from protovine.watch.members import Members

PERIOD_S = 1.0


class Swarm:
    """Asks the members of a running swarm, as ``protovine status`` does, and shows their answers.

    Parameters
    ----------
    name : str
        Of the swarm.
    ask : callable
        Returns the statuses of all members that answer, by id, as JSON.
    """

    def __init__(self, name: str, ask: Callable[[], dict[int, bytes]]) -> None:
        self._name, self._ask = name, ask
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
                "about": "real nodes, read only",
                "links": sorted(members.links),
                "nodes": len(members.names),
                "shares": True,
                "theory": None,
                "budget": None,
            }
            return {
                "mode": "swarm",
                "ready": bool(members.names),
                "title": f"swarm {self._name}",
                "classes": [],
                "names": list(members.names),
                "systems": [system],
                "end": None,
                "controls": False,
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
        """Nothing can be done to real nodes from here."""
        raise ConfigError("a real swarm can only be watched")

    def _poll(self) -> None:
        began_s = time.monotonic()
        while not self._stop.is_set():
            asked_s = time.monotonic()
            try:
                answers = self._ask()
                self._error = None if answers else "no member answers"
            except ProtovineError as error:
                answers, self._error = {}, str(error)
            with self._lock:
                self._members.take([_decoded(answer) for answer in answers.values()], time.monotonic() - began_s)
            self._stop.wait(max(0.0, PERIOD_S - (time.monotonic() - asked_s)))


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return None
