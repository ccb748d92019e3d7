"""The exceptions of protovine. Each docstring says what went wrong and what happened to the state."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class ProtovineError(Exception):
    """Base of every exception that protovine raises on purpose."""


class ConfigError(ProtovineError, ValueError):
    """A setting is unknown or out of range. Nothing was started and nothing was written."""


class DataError(ProtovineError, ValueError):
    """A data set cannot be found, read or used. Nothing was started and nothing was written."""


class CodecError(ProtovineError):
    """Bytes do not decode. The node's state is unchanged."""


class SampleError(ProtovineError, ValueError):
    """A local sample or label that the node cannot take. Nothing was learnt."""


class LocalProtocolError(ProtovineError):
    """The caller broke the protocol's contract: a bug on this side. Stop."""


class RemoteProtocolError(ProtovineError):
    """A peer sent an invalid message. Learner, views and versions are unchanged; the refusal was counted.

    ``reason`` is one word that metrics group by, for example ``"checksum"`` or ``"stale"``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnreadableError(RemoteProtocolError):
    """A message that does not open under the keys of its sender, perhaps because it started again. Nothing was changed.

    ``sender`` is claimed, not proven: ask it for its hello and send it this node's, but not often.
    """

    def __init__(self, reason: str, sender: int, message: str) -> None:
        super().__init__(reason, message)
        self.sender = sender


class MissingKeysError(UnreadableError):
    """A message under keys that this node does not have, for example after a restart. Nothing was changed."""

    def __init__(self, sender: int, message: str) -> None:
        super().__init__("keys", sender, message)


class StaleHelloError(RemoteProtocolError):
    """A hello of a member that is known by a later one, or by another of the same incarnation. Nothing was changed.

    ``sender`` is claimed, not proven: send it the hello that is known (`EnvelopeLike.known_hello`), but not often.
    """

    def __init__(self, sender: int, message: str) -> None:
        super().__init__("stale", message)
        self.sender = sender


class ImpostorError(RemoteProtocolError):
    """A hello with the id of a member that is known by another name. Nothing was changed.

    ``sender`` is claimed, not proven: send it the hello that is known, but not often; so it learns of the other.
    """

    def __init__(self, sender: int, message: str) -> None:
        super().__init__("impostor", message)
        self.sender = sender


class OtherSchemaError(RemoteProtocolError):
    """A hello of a member with another schema. ``name`` is proven if there are certificates."""

    def __init__(self, name: str, theirs: bytes, own: bytes) -> None:
        super().__init__("schema", f"{name!r} has schema {theirs.hex()}, this node {own.hex()}")
        self.name = name


class OwnNameError(RemoteProtocolError):
    """A hello in the name of this node that another process made: an earlier start, or one that runs now.

    Nothing was changed. ``incarnation``, ``public`` and ``created_ns`` are those of the hello, which this node's key
    or an earlier one of the same name has signed, if there are certificates. ``valid`` is false if the certificate in
    the hello was revoked, or had ended when the hello was made: peers believe that process no more.
    """

    def __init__(self, incarnation: int, public: bytes, created_ns: int, message: str, valid: bool = True) -> None:
        super().__init__("twice", message)
        self.incarnation, self.public, self.created_ns, self.valid = incarnation, public, created_ns, valid


class SnapshotError(ProtovineError):
    """Saved bytes cannot be restored. Nothing was changed."""


class InvariantError(ProtovineError):
    """The simulator found a broken invariant: a bug. The run stopped there."""


class RunError(ProtovineError):
    """A run of an experiment stopped on a bug, a full disk or the like. Runs that had finished are kept.

    ``run`` is the preset and the seed; None if a worker process died.
    """

    run: tuple[str, int] | None = None


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """`ConfigError` unless ``low <= value <= high``; NaN is out of every range.

    Examples
    --------
    >>> check_range("T", 1.5, 0, 1)
    Traceback (most recent call last):
    protovine.errors.ConfigError: T must be between 0 and 1, got 1.5
    """
    if not low <= value <= high:
        wanted = f">= {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ConfigError(f"{name} must be {wanted}, got {value}")


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint `` (did you mean 'x'?)`` at the nearest known name, or the list of known names if none is near.

    Examples
    --------
    >>> suggest("paper-jds", ["paper-jsd", "paper-base"])
    " (did you mean 'paper-jsd'?)"
    """
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else f" (known: {', '.join(choices)})"
