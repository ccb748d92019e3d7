"""Delays and peers from the text of the command line, or from the files that it names."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from protovine.age.delay import Delay
from protovine.errors import ConfigError, DataError


def parse_delay(text: str) -> Delay | None:
    """The delay that a text names, or None for ``none`` and the empty text.

    Parameters
    ----------
    text : str
        ``fixed:S`` or ``exp:S`` with S in seconds, or a file with one delay in seconds per line; text after ``#`` is
        ignored.

    Raises
    ------
    ConfigError
        S is not a number, or a delay is out of range.
    DataError
        The file cannot be read, has no delay, or a line is no delay in range.

    Examples
    --------
    >>> parse_delay("exp:0.05").mean_s
    0.05
    """
    if not text or text == "none":
        return None
    kind, colon, number = text.partition(":")
    if colon and kind in ("fixed", "exp"):
        try:
            seconds = float(number)
        except ValueError:
            raise ConfigError(f"a delay needs a number of seconds, as {kind}:S, got '{text}'") from None
        return Delay.fixed(seconds) if kind == "fixed" else Delay.exponential(seconds)
    values = []
    for line, where in _lines(text, "a delay is fixed:S, exp:S or a file"):
        for word in line.split():
            try:
                values.append(float(word))
                Delay.fixed(values[-1])
            except ConfigError as error:
                raise DataError(f"{error} in {where}") from None
            except ValueError:
                raise DataError(f"a delay must be a number of seconds, got '{word}' in {where}") from None
    if not values:
        raise DataError(f"'{text}' has no delays: it must have one in seconds per line")
    return Delay.samples(values)


def parse_peers(texts: Iterable[str]) -> tuple[list[float], list[float]]:
    """Weights, and message sizes in bytes, of the peers that the texts name.

    Parameters
    ----------
    texts : iterable of str
        Each is ``WEIGHT:BYTES``, or a file with one ``WEIGHT:BYTES`` per line; text after ``#`` is ignored.

    Raises
    ------
    ConfigError
        A text or a line is not two numbers > 0.
    DataError
        A file cannot be read.

    Examples
    --------
    >>> parse_peers(["1:200", "16:200"])
    ([1.0, 16.0], [200.0, 200.0])
    """
    weights, sizes = [], []
    for text in texts:
        for words, where in _peer_lines(text):
            weight, colon, size = words.partition(":")
            try:
                pair = float(weight), float(size)
            except ValueError:
                pair = (math.nan, math.nan)
            if not colon or not all(0 < value < math.inf for value in pair):
                raise ConfigError(f"a peer is WEIGHT:BYTES, two numbers > 0, or a file of such lines, got '{where}")
            weights.append(pair[0])
            sizes.append(pair[1])
    return weights, sizes


def _peer_lines(text: str) -> list[tuple[str, str]]:
    """Each peer's words, and how an error message ends after an opening quotation mark."""
    if ":" in text or not ("/" in text or "." in text):
        return [(text, f"{text}'")]
    return [(line, f"{line}' in {where}") for line, where in _lines(text, "a peer is WEIGHT:BYTES or a file")]


def _lines(name: str, wanted: str) -> list[tuple[str, str]]:
    """The lines of a file without comments and empty ones, and where each is; ``wanted`` begins its errors."""
    try:
        lines = Path(name).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"{wanted}; cannot read '{name}': {reason}") from None
    kept = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    return [(line, f"line {number} of '{name}'") for number, line in kept if line]
