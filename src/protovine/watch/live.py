"""A simulation that goes on while it is watched, at a chosen speed, and takes commands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from protovine.errors import ConfigError, ProtovineError
from protovine.experiments.define.config import AnyFault
from protovine.experiments.define.prepare import Prepared
from protovine.experiments.report.text import counted
from protovine.experiments.run.lockstep import Lockstep
from protovine.records import SECOND_NS, Record
from protovine.system import warm
from protovine.watch.board import Board, Facts
from protovine.watch.curves import rounded
from protovine.watch.describe import CHOICES, system_facts
from protovine.watch.inside import Projection, inside_of
from protovine.watch.source import check_command, curves_of
from protovine.watch.tuning import tuning_at, tuning_words

SPEED_MAX = 1000.0
# Wall time of one piece of simulation, in which nobody else can read.
_PIECE_S = 0.02
# A page is redrawn four times a second: between pieces there is time for others.
_REST_S = 0.002


class Live:
    """Runs an experiment of one seed in a thread of its own.

    Parameters
    ----------
    prepared : Prepared
    speed : float
        Virtual seconds per second; 0 is as fast as it can.
    ended : callable (Lockstep), optional
        Called in that thread after the last sample.
    """

    def __init__(self, prepared: Prepared, speed: float = 1.0, ended: Callable[[Lockstep], None] | None = None) -> None:
        self._prepared, self._ended = prepared, ended
        self.speed, self.paused = speed, False
        self.lockstep: Lockstep | None = None
        self.boards: dict[str, Board] = {}
        self.error: str | None = None
        self._over = False
        self._lock = threading.RLock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="protovine-live", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop, at once if it has not come to its end."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def about(self) -> dict[str, Any]:
        """The experiment, its systems and what may be done."""
        prepared = self._prepared
        data = prepared.data[prepared.seeds[0]]
        with self._lock:
            systems = [] if self.lockstep is None else [self._facts(name) for name in prepared.settings]
        return {
            "mode": "live",
            "ready": bool(systems),
            "title": f"{data.name}, {counted(len(prepared.neighbours), 'node')}",
            "classes": [str(label) for label in data.classes],
            "names": [],
            "systems": systems,
            "end": self.lockstep.end_s if self.lockstep else None,
            "controls": list(_COMMANDS),
            **CHOICES,
        }

    def _facts(self, name: str) -> dict[str, Any]:
        assert self.lockstep is not None
        facts = system_facts(name, self._prepared.settings[name], self.boards[name].facts.neighbours)
        return {**facts, "centralised": self._prepared.settings[name].swarm.centralised}

    def status(self) -> dict[str, Any]:
        """Whether it runs, and what was done by hand."""
        if self.error:
            state = "failed"
        elif self.lockstep is None:
            state = "starting"
        else:
            state = "ended" if self._over else "paused" if self.paused else "running"
        hand = [] if self.lockstep is None else self.lockstep.by_hand
        shown = [fault.model_dump(exclude_none=True) for fault in hand[-50:]]
        return {"state": state, "speed": self.speed, "error": self.error, "by_hand": shown}

    def frame(self, system: str) -> dict[str, Any] | None:
        """The picture of a system now."""
        with self._lock:
            if system not in self.boards:
                return None
            others = {name: rounded(board.recent_accuracy()) for name, board in self.boards.items() if name != system}
            return {**self.boards[system].frame(), "others": others, "tuning": self._tuning(system)}

    def _tuning(self, system: str) -> dict[str, float | None]:
        assert self.lockstep is not None
        settings, board = self._prepared.settings[system], self.boards[system]
        # What is done by hand happens at once, and a board may lag by a piece.
        now_s = self.lockstep.now_ns / SECOND_NS
        return tuning_at(settings, board.facts.neighbours, [*settings.faults, *self.lockstep.by_hand], now_s)

    def curves(self, system: str, since: tuple[int, int]) -> dict[str, Any]:
        """New points of the curves."""
        with self._lock:
            return curves_of(self.boards, system, since)

    def inside(self, system: str, node: int, at: int | None = None) -> dict[str, Any]:
        """The prototypes of one node now."""
        with self._lock:
            if self.lockstep is None or system not in self.boards:
                raise ConfigError(f"there is no system '{system}'")
            nodes = self.lockstep.nodes(system)
            if not 0 <= node < len(nodes):
                raise ConfigError(f"node must be 0 to {len(nodes) - 1}, got {node}")
            return inside_of(nodes, node, self._projection)

    def act(self, command: dict[str, Any]) -> None:
        """Do something by hand: see `_COMMANDS`."""
        arguments = check_command(command, _COMMANDS, frozenset({"retune"}))
        name = command["do"]
        if name == "pause":
            self.paused = True
        elif name == "go":
            self.paused = False
        elif name == "speed":
            value = arguments["speed"]
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= SPEED_MAX:
                raise ConfigError(f"speed must be 0 (as fast as possible) to {SPEED_MAX:g}, got {value!r}")
            self.speed = float(value)
        else:
            self._by_hand(name, arguments)
        self._wake.set()

    def _by_hand(self, name: str, arguments: dict[str, Any]) -> None:
        with self._lock:
            if self.lockstep is None or self._over:
                raise ConfigError("the run has ended" if self._over else "the run has not started yet")
            made = getattr(self.lockstep, name)(**arguments)
            self._note(made if isinstance(made, list) else [made])

    @property
    def _peers_max(self) -> int:
        return max(map(len, self._prepared.neighbours))

    def _note(self, faults: list[AnyFault]) -> None:
        """Put what was done into every log, and judge only nodes that are still honest."""
        assert self.lockstep is not None
        for name, board in self.boards.items():
            board.facts.honest = self.lockstep.describe(name).honest
            for fault in faults[:1]:  # The other way of a link is the same event.
                board.note("hand", _words(fault, self._peers_max), getattr(fault, "node", None))

    # -- The thread. ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            warm(self._prepared.settings.values())
            lockstep = self._begin()
            self._go(lockstep)
            with self._lock:
                if lockstep.done and self._ended is not None:
                    self._ended(lockstep)
                self._over = True
        except ProtovineError as error:
            self.error = str(error)
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            raise

    def _begin(self) -> Lockstep:
        with self._lock:
            lockstep = Lockstep(self._prepared, self._record)
            self._projection = Projection.of(lockstep.data)
            for name in self._prepared.settings:
                run = lockstep.describe(name)
                facts = Facts(
                    run.neighbours,
                    len(run.classes),
                    run.honest,
                    run.positive,
                    run.drift_points_s,
                    lockstep.end_s,
                    run.medium,
                )
                self.boards[name] = Board(facts)
            self.lockstep = lockstep
        return lockstep

    def _record(self, name: str, record: Record) -> None:
        self.boards[name].add(record)

    def _go(self, lockstep: Lockstep) -> None:
        step_ns, before_s = SECOND_NS // 50, time.monotonic()
        ahead_ns = 0.0  # What the clock on the wall allows.
        while not lockstep.done and not self._stop.is_set():
            now_s = time.monotonic()
            passed_s, before_s = min(now_s - before_s, 0.1), now_s
            if self.paused:
                self._wake.wait(0.05)
                self._wake.clear()
                continue
            ahead_ns = (
                step_ns if self.speed == 0 else min(ahead_ns + passed_s * self.speed * SECOND_NS, 1e9 * SECOND_NS)
            )
            piece_ns = int(min(ahead_ns, step_ns))
            if piece_ns < SECOND_NS // 1000:
                self._wake.wait(0.01)
                self._wake.clear()
                continue
            began_s = time.monotonic()
            with self._lock:
                lockstep.advance(lockstep.now_ns + piece_ns)
                for board in self.boards.values():
                    board.at(min(lockstep.now_ns, round(lockstep.end_s * SECOND_NS)))
            ahead_ns = min(ahead_ns - piece_ns, self.speed * SECOND_NS / 10) if self.speed else 0.0
            took_s = time.monotonic() - began_s
            step_ns = int(min(max(step_ns * min(2.0, _PIECE_S / max(took_s, 1e-6)), SECOND_NS // 1000), SECOND_NS))
            time.sleep(_REST_S)


# What may be done by hand, with the arguments that it takes; after the first three methods of `Lockstep`.
_COMMANDS: dict[str, tuple[str, ...]] = {
    "go": (),
    "pause": (),
    "speed": ("speed",),
    "kill": ("node",),
    "restart": ("node",),
    "cut": ("a", "b"),
    "mend": ("a", "b"),
    "drift": ("change", "nodes"),
    "attack": ("node", "attack"),
    "retune": ("fanout", "share_probability", "budget_bytes_per_s"),
}


def _words(fault: AnyFault, peers_max: int) -> str:
    """What was done, for the log; a node has ``peers_max`` peers at most."""
    match fault.kind:
        case "crash":
            return "killed by hand" if fault.restart_s is None else "restarted by hand"
        case "cut":
            verb = "cut" if fault.until_s >= 1e8 else "restored"
            return f"link {fault.source} – {fault.target} {verb} by hand"
        case "drift":
            where = f"at node {', '.join(map(str, fault.nodes))}" if fault.nodes else "at all nodes"
            return f"drift of the {fault.change} begun by hand {where}"
        case "byzantine":
            return f"made Byzantine by hand: {fault.attack}"
        case "retune":
            return tuning_words(fault.model_dump(exclude_none=True, exclude={"kind", "at_s"}), peers_max)
        case _:
            return f"{fault.kind} by hand"
