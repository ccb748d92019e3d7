"""A medium that nodes share: one send is on the air once, and all in range hear it, as on radio or a multicast LAN.

Who is in range is the topology's business. The medium decides when a frame is sent, and who hears it:

- A device sends one frame at a time, waits out its duty cycle or advertising interval, and drops what waits too long.
- Without collisions, nodes that share a receiver take turns, in the order in which they are ready. With collisions,
  each profile behaves as its radio: LoRa and Bluetooth send at once, Wi-Fi and Ethernet wait while they hear others.
  Frames that overlap at a receiver are then lost there, and a node hears nothing while it sends.
- A message that is larger than a frame travels in fragments of 2 bytes more, if their number is allowed, and arrives
  where all of them do.

No frame survives a stronger one (no capture effect), all nodes share one channel, and light is infinitely fast.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from protovine import rng
from protovine.errors import ConfigError, check_range
from protovine.gossip import EVERYONE, Device
from protovine.records import SECOND_NS
from protovine.sim.invariants import Place
from protovine.sim.radio import Profile

# The number of a message and of the fragment in it.
FRAGMENT_BYTES = 2
FRAGMENTS_MAX = 64
# A shorter message is mostly header: where a frame is shorter, a message fills several.
_MESSAGE_BYTES_MIN = 64


@dataclass(frozen=True, slots=True)
class MediumPlan:
    """What the medium does to messages.

    Parameters
    ----------
    profile : Profile
    collisions : bool
        Whether frames that overlap at a receiver are lost there. Otherwise nodes take turns.
    fragments_max : int in [1, 64]
        Most frames in which one message travels. 1 refuses every message that is larger than a frame.
    queue_ns : int >= 0
        A message that waits longer than this for the medium is dropped.

    Raises
    ------
    ConfigError
        A number is out of range.

    Examples
    --------
    >>> from protovine.sim.radio import profile
    >>> plan = MediumPlan(profile("lora-sf12"))
    >>> plan.message_bytes_max, plan.frames(51), plan.frames(120)
    (392, [51], [51, 51, 24])
    """

    profile: Profile
    collisions: bool = False
    fragments_max: int = 8
    queue_ns: int = 60 * SECOND_NS

    def __post_init__(self) -> None:
        check_range("fragments_max", self.fragments_max, 1, FRAGMENTS_MAX)
        check_range("queue_ns", self.queue_ns, 0)

    @property
    def message_bytes_max(self) -> int:
        """Largest message that can be sent."""
        payload = self.profile.payload_bytes_max
        return payload if self.fragments_max == 1 else self.fragments_max * (payload - FRAGMENT_BYTES)

    @property
    def device(self) -> Device:
        """What a node on this medium knows of its radio."""
        frames = 1
        if self.fragments_max > 1 and (room := self.profile.payload_bytes_max) < _MESSAGE_BYTES_MIN:
            frames = min(self.fragments_max, math.ceil(_MESSAGE_BYTES_MIN / (room - FRAGMENT_BYTES)))
        size = self.profile.payload_bytes_max - FRAGMENT_BYTES * (frames > 1)
        size *= frames
        if not self.profile.limits_devices:
            return Device(size)
        return Device(size, size * SECOND_NS / self.busy_ns(size), self.busy_ns)

    def busy_ns(self, size: int) -> int:
        """How long a message keeps its device from sending another one, on average."""
        if size > self.message_bytes_max:
            return 0  # It is not sent.
        frames = [self.profile.rest_ns(self.profile.airtime_ns(payload)) for payload in self.frames(size)]
        return sum(frames) + len(frames) * self.profile.jitter_ns // 2

    def frames(self, size: int) -> list[int]:
        """Payload bytes of each frame of a message of ``size`` bytes; `ConfigError` if it is too large."""
        payload = self.profile.payload_bytes_max
        if size <= payload:
            return [size]
        if size > self.message_bytes_max:
            raise ConfigError(f"a message must have at most {self.message_bytes_max} bytes, got {size}")
        room = payload - FRAGMENT_BYTES
        full, rest = divmod(size, room)
        return [payload] * full + ([rest + FRAGMENT_BYTES] if rest else [])


@dataclass(slots=True)
class Message:
    """A message on its way: ``target`` is a node, or `EVERYONE` in range. ``copy`` is the network's number for it."""

    source: int
    target: int
    data: bytes
    copy: Place
    since_ns: int  # When it was offered, or its last frame ended.
    frames: list[int]
    sent: int = 0  # Frames that were on the air.
    cut_short: bool = False  # The node stopped: the frame on the air is the last one.
    fates: dict[int, str] = field(default_factory=dict)  # By receiver: why it misses the message; "" if it does not.


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame on the air from ``start_ns`` to ``end_ns``, within reach of ``receivers``."""

    message: Message
    start_ns: int
    end_ns: int
    receivers: tuple[int, ...]
    waited_ns: int


class MediumEvents:
    """What the medium tells its simulator.

    Parameters
    ----------
    at : callable (time, action, *arguments)
        Calls an action at a later time, or later in this nanosecond.
    aired : callable (Frame)
        A frame has ended.
    landed : callable (Message, list of (receiver, reason))
        All frames of a message have ended: who was in range, and why who misses it (``""``: it is heard).
    dropped : callable (Message, reason)
        A message was never sent as a whole.
    """

    def __init__(
        self,
        at: Callable[..., None],
        aired: Callable[[Frame], None],
        landed: Callable[[Message, list[tuple[int, str]]], None],
        dropped: Callable[[Message, str], None],
    ) -> None:
        self.at, self.aired, self.landed, self.dropped = at, aired, landed, dropped


class Medium:
    """The state of a shared medium.

    Parameters
    ----------
    plan : MediumPlan
    hears : list of lists of int
        For each node those in its range. `relink` replaces it.
    events : MediumEvents
    seed : int
        For losses and random intervals.
    loss : float in [0, 1]
        Probability that a receiver misses a frame for other reasons than collisions.
    """

    def __init__(
        self, plan: MediumPlan, hears: list[list[int]], events: MediumEvents, seed: int = 0, loss: float = 0.0
    ) -> None:
        n = len(hears)
        self.plan, self._hears, self._events, self._loss, self._seed = plan, hears, events, loss, seed
        self._queues: list[deque[Message]] = [deque() for _ in range(n)]
        self._planned = [False] * n  # Whether a start or the end of a frame is scheduled.
        self._ready_ns = [0] * n  # When the node may start its next frame.
        self._on_air: list[Message | None] = [None] * n
        self._busy_ns = [0] * n  # Until when the medium is occupied at the node.
        self._heard: list[deque[Frame]] = [deque() for _ in range(n)]  # With collisions: newest frames at the node.
        self._draws: dict[int, np.random.Generator] = {}

    def relink(self, hears: list[list[int]]) -> None:
        """From now on other nodes are in range; frames on the air reach those that were."""
        self._hears = hears

    def send(self, source: int, target: int, data: bytes, copy: Place, now_ns: int) -> bool:
        """Take a message for the air; false if it is larger than the medium carries, and nothing happens."""
        if len(data) > self.plan.message_bytes_max:
            return False
        self._queues[source].append(Message(source, target, data, copy, now_ns, self.plan.frames(len(data))))
        self._continue(source, now_ns)
        return True

    def clear(self, source: int) -> None:
        """The node stops: messages that wait are dropped; one that is on the air ends with its frame."""
        queue = self._queues[source]
        on_air = self._on_air[source]
        while queue and (on_air is None or queue[-1] is not on_air):
            self._events.dropped(queue.pop(), "node down")
        if on_air is not None:
            on_air.cut_short = on_air.sent + 1 < len(on_air.frames)

    def _continue(self, source: int, now_ns: int) -> None:
        if self._queues[source] and not self._planned[source]:
            self._planned[source] = True
            self._events.at(max(now_ns, self._ready_ns[source]), self._start, source)

    def _start(self, source: int, now_ns: int) -> None:
        """The node may send: put the next frame on the air, as soon as the medium is free."""
        self._planned[source] = False
        queue, plan = self._queues[source], self.plan
        while queue:
            message, receivers = queue[0], self._hears[source]
            start_ns = self._free_ns(source, receivers, now_ns)
            if message.sent or start_ns - message.since_ns <= plan.queue_ns:
                break
            self._events.dropped(queue.popleft(), "waited too long")
        else:
            return
        airtime_ns = plan.profile.airtime_ns(message.frames[message.sent])
        frame = Frame(message, start_ns, start_ns + airtime_ns, tuple(receivers), start_ns - message.since_ns)
        jitter_ns = round(self._draw(source).random() * plan.profile.jitter_ns)
        self._ready_ns[source] = start_ns + plan.profile.rest_ns(airtime_ns) + jitter_ns
        for node in (source, *receivers):
            self._busy_ns[node] = max(self._busy_ns[node], frame.end_ns)
            if plan.collisions:
                self._note(node, frame, now_ns)
        self._planned[source], self._on_air[source] = True, message
        self._events.at(frame.end_ns, self._end, frame)

    def _free_ns(self, source: int, receivers: list[int], now_ns: int) -> int:
        """When the node's next frame can start."""
        profile = self.plan.profile
        if not self.plan.collisions:
            start_ns = max([now_ns, self._busy_ns[source], *[self._busy_ns[node] for node in receivers]])
        elif profile.listens:
            start_ns = max(now_ns, self._busy_ns[source])
        else:
            return now_ns
        return start_ns + profile.access_ns

    def _note(self, node: int, frame: Frame, now_ns: int) -> None:
        """Keep the frames at a node that may still overlap with others."""
        heard = self._heard[node]
        # A frame that is still on the air began at most one longest frame ago.
        oldest_ns = now_ns - self.plan.profile.airtime_ns(self.plan.profile.payload_bytes_max)
        while heard and heard[0].end_ns <= oldest_ns:
            heard.popleft()
        heard.append(frame)

    def _end(self, frame: Frame, now_ns: int) -> None:
        """A frame ends: who has heard it is decided now, when all frames that overlap with it have begun."""
        message, source = frame.message, frame.message.source
        self._events.aired(frame)
        lost = self._draw(source).random(len(frame.receivers)) < self._loss
        before = message.fates if message.sent else dict.fromkeys(frame.receivers, "")
        now = {}
        for receiver, is_lost in zip(frame.receivers, lost.tolist(), strict=True):
            collides = self.plan.collisions and self._collides(frame, receiver)
            now[receiver] = "collision" if collides else "loss" if is_lost else ""
        message.fates = {node: reason or now.get(node, "out of range") for node, reason in before.items()}
        message.sent, message.since_ns = message.sent + 1, now_ns
        self._planned[source], self._on_air[source] = False, None
        if message.cut_short:
            self._events.dropped(self._queues[source].popleft(), "node down")
        elif message.sent == len(message.frames):
            self._queues[source].popleft()
            if message.target == EVERYONE:
                self._events.landed(message, list(message.fates.items()))
            else:
                reason = message.fates.get(message.target, "out of range")
                self._events.landed(message, [(message.target, reason)])
        self._continue(source, now_ns)

    def _collides(self, frame: Frame, receiver: int) -> bool:
        return any(
            other is not frame and other.start_ns < frame.end_ns and frame.start_ns < other.end_ns
            for other in self._heard[receiver]
        )

    def _draw(self, source: int) -> np.random.Generator:
        draw = self._draws.get(source)
        if draw is None:
            draw = self._draws[source] = rng.stream(self._seed, "medium", source)
        return draw
