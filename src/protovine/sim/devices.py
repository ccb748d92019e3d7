"""Devices as they are: how fast each node trains, how fast it sends and whether it is up, over time.

A trace is a CSV file with a header, or JSON lines with the same keys (``.jsonl``). Each row says what holds for a node
from a time on. An empty cell, or a key that is missing, keeps what was:

- ``node``: 0, 1, …
- ``from_s``: seconds of virtual time, not before the node's last row; 0 by default
- ``speed``: trains this many times faster than `swarm.train_rate_hz` says; 1 at first
- ``bandwidth_bytes_per_s``: its messages leave one after another at this rate; 0, no limit, at first
- ``up``: 1 or 0; 1 at first

`generated` makes traces by stated laws. Traces of real devices, as FedScale (Lai et al., ICML 2022) and Plexus
(Dhasade et al., EuroMLSys 2025) use them, need only be brought into this form.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protovine import rng
from protovine.errors import ConfigError, DataError, check_range, suggest
from protovine.records import SECOND_NS
from protovine.sim.faults import Crash, Join

COLUMNS = ("node", "from_s", "speed", "bandwidth_bytes_per_s", "up")
_LIMITS = {"from_s": (0.0, 1e9), "speed": (1e-6, 1e6), "bandwidth_bytes_per_s": (0.0, 1e12)}


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """From ``at_ns`` on these hold for ``node``; None keeps what was."""

    node: int
    at_ns: int
    speed: float | None = None
    bandwidth_bytes_per_s: float | None = None
    up: bool | None = None


@dataclass(frozen=True)
class DeviceTrace:
    """The changes of all devices, ordered by time and then by node.

    Examples
    --------
    >>> trace = DeviceTrace((DeviceChange(1, 5 * SECOND_NS, up=False), DeviceChange(1, 9 * SECOND_NS, up=True)))
    >>> trace.faults()
    [Crash(node=1, at_ns=5000000000, restart_ns=9000000000, keeps_state=True)]
    """

    changes: tuple[DeviceChange, ...]

    @property
    def limits_bandwidth(self) -> bool:
        """Whether it says anything about bandwidth."""
        return any(change.bandwidth_bytes_per_s for change in self.changes)

    def faults(self) -> list[Crash | Join]:
        """Availability as faults: a device that goes down keeps its state, and continues when it is up again."""
        found: list[Crash | Join] = []
        down: dict[int, int] = {}
        up: dict[int, bool] = {}
        for change in self.changes:
            if change.up is None or change.up == up.get(change.node, True):
                continue
            up[change.node] = change.up
            if not change.up:
                down[change.node] = change.at_ns
                continue
            since_ns = down.pop(change.node)
            if since_ns == 0:
                found.append(Join(change.node, change.at_ns))
            else:
                found.append(Crash(change.node, since_ns, change.at_ns))
        # One that never comes back was never there if it is down from the start: it joins after the end.
        never_ns = int(_LIMITS["from_s"][1]) * SECOND_NS
        for node, at_ns in sorted(down.items()):
            found.append(Crash(node, at_ns) if at_ns else Join(node, never_ns))
        return found

    def for_nodes(self, n: int) -> DeviceTrace:
        """The same; `ConfigError` if it names a node that a swarm of ``n`` nodes does not have."""
        for change in self.changes:
            if change.node >= n:
                raise ConfigError(f"swarm.devices names node {change.node}, but nodes are 0 to {n - 1}")
        return self

    def write(self, path: Path) -> None:
        """Write it as CSV, or as JSON lines to a file that ends with .jsonl; as a whole or not at all.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        rows = [{name: cell for name, cell in _row(change).items() if cell is not None} for change in self.changes]
        if path.suffix == ".jsonl":
            text = "".join(json.dumps(row) + "\n" for row in rows)
        else:
            out = io.StringIO()
            writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
            text = out.getvalue()
        partial = path.with_name(path.name + ".part")
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise DataError(f"cannot write {path}: {error.strerror}") from None


def _row(change: DeviceChange) -> dict[str, Any]:
    return {
        "node": change.node,
        "from_s": change.at_ns / SECOND_NS,
        "speed": change.speed,
        "bandwidth_bytes_per_s": change.bandwidth_bytes_per_s,
        "up": None if change.up is None else int(change.up),
    }


def read(path: Path) -> DeviceTrace:
    """Read a trace.

    Raises
    ------
    DataError
        The file is missing or no text, or a row has an unknown column or a value out of range; the message names it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise DataError(f"cannot read the devices {path}: {reason}") from None
    rows = _json_rows(text, path) if path.suffix == ".jsonl" else _csv_rows(text, path)
    changes = [_change(row, f"{path} line {line}") for line, row in rows]
    last: dict[int, int] = {}
    for (line, _), change in zip(rows, changes, strict=True):
        if change.at_ns < last.get(change.node, 0):
            back = f"{path} line {line}: from_s of node {change.node} goes back"
            raise DataError(f"{back} to {change.at_ns / SECOND_NS:g}")
        last[change.node] = change.at_ns
    return ordered(changes)


def ordered(changes: Iterable[DeviceChange]) -> DeviceTrace:
    """A trace of changes, ordered by time and node; those of one node and time stay in their order."""
    return DeviceTrace(tuple(sorted(changes, key=lambda change: (change.at_ns, change.node))))


def _json_rows(text: str, path: Path) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for line, words in enumerate(text.splitlines(), 1):
        if not words.strip():
            continue
        try:
            row = json.loads(words)
        except json.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path} line {line}: expected a JSON object, got '{words[:40]}'")
        rows.append((line, row))
    return rows


def _csv_rows(text: str, path: Path) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(text))
    head = [name.strip() for name in next(reader, [])]
    if "node" not in head or len(set(head)) != len(head):
        raise DataError(f"{path} line 1: expected a header with node and some of {', '.join(COLUMNS[1:])}")
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(head):
            raise DataError(f"{path} line {reader.line_num}: expected {len(head)} cells, got {len(cells)}")
        row = {name: cell.strip() for name, cell in zip(head, cells, strict=True) if cell.strip()}
        rows.append((reader.line_num, row))
    return rows


def _change(row: dict[str, Any], where: str) -> DeviceChange:
    for name in row:
        if name not in COLUMNS:
            raise DataError(f"{where}: unknown column '{name}'{suggest(name, COLUMNS)}")
    node = _number(row, "node", where)
    if node is None or node != int(node) or not 0 <= node < 2**31:
        raise DataError(f"{where}: node must be a whole number from 0, got '{row.get('node', '')}'")
    for name, (low, high) in _LIMITS.items():
        value = _number(row, name, where)
        if value is not None and not low <= value <= high:
            raise DataError(f"{where}: {name} must be between {low:g} and {high:g}, got {value:g}")
    bandwidth = _number(row, "bandwidth_bytes_per_s", where)
    if bandwidth is not None and 0 < bandwidth < 1:
        raise DataError(f"{where}: bandwidth_bytes_per_s must be 0 or at least 1, got {bandwidth:g}")
    up = row.get("up")
    if up is not None and str(up).lower() not in ("0", "1", "true", "false"):
        raise DataError(f"{where}: up must be 1 or 0, got '{up}'")
    at_ns = round((_number(row, "from_s", where) or 0.0) * SECOND_NS)
    is_up = None if up is None else str(up).lower() in ("1", "true")
    return DeviceChange(int(node), at_ns, _number(row, "speed", where), bandwidth, is_up)


def _number(row: dict[str, Any], name: str, where: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: {name} must be a number, got '{value}'")
    return number


# A trace of a few million rows takes some seconds and hundreds of megabytes.
CHANGES_MAX = 5_000_000


def generated(
    n: int,
    seconds: float,
    *,
    seed: int = 0,
    speed_spread: float = 0.5,
    bandwidth_bytes_per_s: float = 0.0,
    bandwidth_spread: float = 1.0,
    up_s: float = 0.0,
    down_s: float = 0.0,
) -> DeviceTrace:
    """A trace by stated laws; devices are independent.

    Parameters
    ----------
    n : int >= 1
        Number of devices.
    seconds : float > 0
        Length of the trace.
    seed : int
    speed_spread : float >= 0
        Speeds are log-normal with median 1; this is the standard deviation of their logarithm. 0.5 lets the middle
        80 % span a factor of 3.6.
    bandwidth_bytes_per_s, bandwidth_spread : float >= 0
        Bandwidths are log-normal with this median and this standard deviation of the logarithm, at least 1; no limit
        with 0.
    up_s, down_s : float >= 0
        Mean durations. A device is up and down in turn, each for an exponential time, and begins in the steady state:
        it is up with probability up_s/(up_s + down_s). With ``down_s`` 0 all are always up.

    Raises
    ------
    ConfigError
        A number is out of range, or the trace would have more than 5,000,000 rows.

    Examples
    --------
    >>> trace = generated(2, 60, bandwidth_bytes_per_s=1000, up_s=20, down_s=10)
    >>> [(change.node, change.at_ns, change.up) for change in trace.changes][:2]
    [(0, 0, True), (1, 0, False)]
    """
    check_range("nodes", n, 1, 10**6)
    check_range("seconds", seconds, 1e-3, 1e9)
    for name, value, most in (
        ("speed_spread", speed_spread, 5.0),
        ("bandwidth_bytes_per_s", bandwidth_bytes_per_s, 1e9),
        ("bandwidth_spread", bandwidth_spread, 5.0),
        ("up_s", up_s, 1e9),
        ("down_s", down_s, 1e9),
    ):
        check_range(name, value, 0, most)
    if down_s and not up_s:
        raise ConfigError("up_s must be above 0 when down_s is")
    # Each change is at least a millisecond after the one before.
    rows = n * (1 + (seconds / max(1e-3, (up_s + down_s) / 2) if down_s else 0))
    if rows > CHANGES_MAX:
        raise ConfigError(f"the trace would have about {rows:,.0f} rows, and must have at most {CHANGES_MAX:,}")
    changes: list[DeviceChange] = []
    for node in range(n):
        draw = rng.stream(seed, "devices", node)
        normals = draw.standard_normal(2)
        speed = float(min(1e6, max(1e-6, math.exp(speed_spread * normals[0]))))
        bandwidth = bandwidth_bytes_per_s * math.exp(bandwidth_spread * normals[1]) if bandwidth_bytes_per_s else 0.0
        up = not down_s or bool(draw.random() < up_s / (up_s + down_s))
        changes.append(DeviceChange(node, 0, round(speed, 6), round(max(1.0, bandwidth), 3) if bandwidth else 0.0, up))
        at_s = 0.0
        while down_s:
            at_s += float(draw.exponential(up_s if up else down_s))
            at_ns = math.ceil(at_s * 1000) * 1_000_000  # Whole milliseconds; no two changes in one.
            at_s = at_ns / SECOND_NS + 1e-6
            if at_s > seconds:
                break
            up = not up
            changes.append(DeviceChange(node, at_ns, up=up))
    return ordered(changes)


def speeds_and_bandwidths(changes: Sequence[DeviceChange]) -> list[DeviceChange]:
    """The changes that concern more than availability."""
    return [each for each in changes if each.speed is not None or each.bandwidth_bytes_per_s is not None]
