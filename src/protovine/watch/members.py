"""Statuses of real nodes folded into what the page shows; no I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from protovine.errors import ConfigError
from protovine.records import SECOND_NS
from protovine.watch.board import CURVES, EVENTS_MAX, NODES_MAX
from protovine.watch.curves import Curves, rounded
from protovine.watch.rates import WINDOW_S
from protovine.watch.tuning import tuning_words

# Without certificates any process can invent members.
MEMBERS_MAX = 1000
NAME_MAX = 60


class Members:
    """What the members of a swarm say of themselves, poll by poll.

    Members keep their place, in the order in which they were first seen. One that no longer answers is down. A status
    is data from elsewhere: what does not look like one is left out.

    Examples
    --------
    >>> members = Members()
    >>> gate = {"id": 7, "name": "gate", "accuracy": 0.5, "bytes_sent": 100}
    >>> members.take([gate], at_s=1.0); members.take([{**gate, "bytes_sent": 300}], at_s=2.0)
    >>> members.names, members.frame()["nodes"]["bytes"], members.frame()["nodes"]["state"]
    (['gate'], [200], ['up'])
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.curves = Curves(CURVES, None)
        self.links: set[tuple[int, int]] = set()
        self._place: dict[int, int] = {}
        self._ids: list[int] = []
        self._newest: list[dict[str, Any]] = []
        self._sent: list[deque[tuple[float, int]]] = []  # Times and bytes sent, back to the last 5 s.
        self._age_sum = self._aged_s = 0.0  # The integral of the mean age over time, and that time.
        self._up: list[bool] = []
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self._number = 0
        self._t = 0.0

    @property
    def version(self) -> int:
        """Grows when there are more members, links or names."""
        return len(self.names) + len(self.links)

    # -- Members by their places. --------------------------------------------------------------------------------------

    def id_at(self, place: int) -> int:
        """The id of a member by its place; `ConfigError` if there is no such place."""
        if not 0 <= place < len(self.names):
            raise ConfigError(f"node must be 0 to {len(self.names) - 1}, got {place}")
        return self._ids[place]

    def name_of(self, member: int) -> str:
        """The name of a member by its id."""
        place = self._place.get(member)
        return f"member {member}" if place is None else self.names[place]

    def has_cut(self, member: int, peer: int) -> bool:
        """Whether a member says that its link to a peer is cut by hand; both by id."""
        control = self._newest[self._place[member]].get("control")
        return control is not None and peer in control["cut"]

    @property
    def controlled(self) -> list[int]:
        """The ids of all members that answer and take commands."""
        return [id for id, place in self._place.items() if self._up[place] and self._newest[place].get("control")]

    # -- Polls. --------------------------------------------------------------------------------------------------------

    def take(self, statuses: Sequence[Any], at_s: float) -> None:
        """The answers of one poll at ``at_s`` seconds after the first."""
        good = [status for status in map(_checked, statuses) if status is not None]
        passed_s, self._t = at_s - self._t, at_s
        heard = set()
        for status in good:
            place = self._place_of(status)
            if place is None:
                continue
            heard.add(place)
            before = self._newest[place]
            self._note_sent(place, status)
            if before.get("incarnation", status["incarnation"]) != status["incarnation"]:
                self._note("up", f"runs again, incarnation {status['incarnation']}", place)
            self._compare("refused", before, status, place)
            self._compare_control(before.get("control"), status["control"], place, len(status["peers"]))
            self._newest[place] = status
        for place in range(len(self.names)):
            self._seen(place, place in heard)
        self._link()
        if passed_s > 0 and (age_s := self._age_s()) is not None:
            self._age_sum += age_s * passed_s
            self._aged_s += passed_s
        while self.curves.next_ns <= at_s * SECOND_NS:
            self._point()

    def _place_of(self, status: dict[str, Any]) -> int | None:
        place = self._place.get(status["id"])
        if place is None and len(self.names) < MEMBERS_MAX:
            place = self._place[status["id"]] = len(self.names)
            self.names.append(status["name"])
            self._ids.append(status["id"])
            self._newest.append({})
            self._sent.append(deque())
            self._up.append(False)
        return place

    def _seen(self, place: int, up: bool) -> None:
        if up != self._up[place]:
            self._up[place] = up
            self._note("up" if up else "down", "answers" if up else "does not answer", place)
        if not up:
            self._sent[place].clear()

    def _note_sent(self, place: int, status: dict[str, Any]) -> None:
        sent, before = self._sent[place], self._newest[place]
        if sent and (status["bytes_sent"] < sent[-1][1] or status["incarnation"] != before["incarnation"]):
            sent.clear()  # Another start counts from 0.
        sent.append((self._t, status["bytes_sent"]))
        start_s = self._t - WINDOW_S
        while len(sent) > 2 and abs(sent[1][0] - start_s) <= abs(sent[0][0] - start_s):
            sent.popleft()

    def _rates(self) -> list[float]:
        """Bytes per second that each member has sent over the last 5 s, or since it was first heard of."""
        return [
            (sent[-1][1] - sent[0][1]) / max(sent[-1][0] - sent[0][0], 1e-9) if sent else 0.0 for sent in self._sent
        ]

    def _compare(self, what: str, before: dict[str, Any], status: dict[str, Any], place: int) -> None:
        for reason, count in list(status[what].items())[:20]:
            if before and count > before[what].get(reason, 0) and not reason.endswith(": cut"):
                self._note("refused", f"has refused {count:,} messages: {reason}", place)

    def _compare_control(
        self, before: dict[str, Any] | None, now: dict[str, Any] | None, place: int, peers: int
    ) -> None:
        """Note what operators have changed, from this page or elsewhere."""
        if before is None or now is None:
            return
        changed = {name: now[name] for name in _TUNING if before[name] != now[name] is not None}
        if changed:
            self._note("hand", tuning_words(changed, peers), place)
        if before["paused"] != now["paused"]:
            self._note("hand", "sharing paused by hand" if now["paused"] else "sharing resumed by hand", place)
        for peer in sorted({*before["cut"]} ^ {*now["cut"]}):
            verb = "cut" if peer in now["cut"] else "restored"
            self._note("hand", f"link to {self.name_of(peer)} {verb} by hand", place)

    def _note(self, kind: str, text: str, place: int) -> None:
        self._number += 1
        self._events.append(
            {"id": self._number, "at": round(self._t, 1), "kind": kind, "text": text[:200], "node": place}
        )

    def _link(self) -> None:
        for place, status in enumerate(self._newest):
            for peer in status.get("peers", ()):
                other = self._place.get(peer["id"])
                if other is not None and other != place:
                    self.links.add((min(place, other), max(place, other)))

    def _accuracies(self) -> list[float | None]:
        return [status.get("accuracy") for status in self._newest]

    def _ages(self) -> dict[tuple[int, int], float]:
        return {
            (place, self._place[peer["id"]]): peer["age_s"]
            for place, status in enumerate(self._newest)
            if self._up[place]
            for peer in status.get("peers", ())
            if peer["age_s"] is not None and peer["id"] in self._place
        }

    def _age_s(self) -> float | None:
        """The mean age of all views now."""
        ages = self._ages().values()
        return fmean(ages) if ages else None

    def _point(self) -> None:
        each = sorted(value for value in self._accuracies() if value is not None)
        count = max(1, len(self.names))
        large = count > NODES_MAX
        values = {
            "t": self.curves.next_ns / SECOND_NS,
            "mean": rounded(fmean(each)) if each else None,
            "low": rounded(each[len(each) // 10]) if each else None,
            "high": rounded(each[-1 - len(each) // 10]) if each else None,
            "last_class": None,
            "bytes": round(sum(self._rates()) / count, 1),
            "age": rounded(self._age_s(), 3),
            "nodes": [] if large else [rounded(value) for value in self._accuracies()],
        }
        self.curves.add(values, {})

    def frame(self) -> dict[str, Any]:
        """The picture now, as `Board.frame`; accuracies are of all predictions, as statuses have no others."""
        n = len(self.names)
        accuracies, ages = self._accuracies(), self._ages()
        rates = self._rates()
        known = [value for value in accuracies if value is not None]
        samples = [status.get("samples", 0) for status in self._newest]
        table: list[list[float | None]] = [[None] * n for _ in range(n)] if n <= NODES_MAX else []
        for (place, other), age_s in ages.items() if table else ():
            table[place][other] = round(age_s, 2)
        return {
            "t": round(self._t, 1),
            "recent": rounded(fmean(known)) if known else None,
            "last_class": None,
            "others": {},
            "totals": {
                "accuracy": fmean(known) if known else None,
                "f1": None,
                "bytes_per_node_per_s": None,
                "aoi_mean_s": self._age_sum / self._aged_s if self._aged_s else self._age_s(),
                "samples": float(sum(samples)),
            },
            "nodes": {
                "accuracy": [rounded(value) for value in accuracies],
                "samples": samples,
                "size": [status.get("prototypes", 0) for status in self._newest],
                "bytes": [round(rate) for rate in rates],
                "state": ["up" if up else "down" for up in self._up],
                "alarm": [],
            },
            "bytes": round(sum(rates) / max(1, n), 1),
            "kinds": {},
            "pulses": [],
            "events": list(self._events),
            "age": {"table": table, "group": 1},
            "edges": [],
            "cut": sorted(
                [place, self._place[peer]]
                for place, status in enumerate(self._newest)
                for peer in (status.get("control") or {}).get("cut", ())
                if peer in self._place
            ),
            "control": [
                status.get("control") if up else None for up, status in zip(self._up, self._newest, strict=True)
            ],
        }


def _checked(status: Any) -> dict[str, Any] | None:
    """The keys of a status that are shown, each of its kind; None if it is no status."""
    if not isinstance(status, Mapping) or not _is_count(status.get("id")):
        return None
    counts = {name: status.get(name, 0) for name in ("samples", "bytes_sent", "prototypes", "incarnation")}
    if not all(map(_is_count, counts.values())):
        return None
    accuracy = status.get("accuracy")
    peers = status.get("peers")
    refused = status.get("refused")
    return {
        **counts,
        "id": status["id"],
        "name": str(status.get("name", status["id"]))[:NAME_MAX],
        "accuracy": _number(accuracy, 1.0),
        "refused": {str(k)[:100]: v for k, v in refused.items() if _is_count(v)}
        if isinstance(refused, Mapping)
        else {},
        "control": _control(status.get("control")),
        "peers": [
            {"id": peer["id"], "age_s": _number(peer.get("age_s"), 1e12)}
            for peer in (peers[:MEMBERS_MAX] if isinstance(peers, list) else ())
            if isinstance(peer, Mapping) and _is_count(peer.get("id"))
        ],
    }


# What operators change: the greatest values.
_TUNING = {"fanout": 1e6, "share_probability": 1.0, "budget_bytes_per_s": 1e12}


def _control(found: Any) -> dict[str, Any] | None:
    """How a member shares, if it takes commands."""
    if not isinstance(found, Mapping):
        return None
    cut = found.get("cut")
    return {
        **{name: _number(found.get(name), most) for name, most in _TUNING.items()},
        "paused": found.get("paused") is True,
        "cut": [peer for peer in (cut[:NODES_MAX] if isinstance(cut, list) else ()) if _is_count(peer)],
    }


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _number(value: Any, most: float) -> float | None:
    """A number from 0 to ``most``, or None."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
    return float(value) if good else None
