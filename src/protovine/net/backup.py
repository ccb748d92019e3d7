"""The saved state of a node as one file: what is in it, a copy of it, and a new node that begins with its learner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, SnapshotError
from protovine.net.store import Store, check_format, owner_only, seed_of, snapshots, with_format
from protovine.snapshot import unpack

FILE_BYTES_MAX = 2**31
# A running node may replace a snapshot while it is looked for.
_TRIES = 3


@dataclass(frozen=True)
class SavedState:
    """What a snapshot says of itself.

    Parameters
    ----------
    path : Path
    member : str or None
        As ``SWARM/NAME/ID``; None in a seed.
    features, classes : tuple of str
        The schema. Classes stand as in Python, texts in quotes.
    learner, exchange : str
        Their kinds.
    at_ns : int
        When it was saved, in nanoseconds since 1970.
    samples_learnt : int
        Local samples that the node has learnt; 0 in a seed.
    peers : tuple of int
        Ids of the peers that the node had met.
    awaiting : int
        Samples that wait for a label.
    size_bytes : int
    forgotten : tuple of (int, int, int)
        Whose items are refused because they are to be forgotten: id, first and last event time.
    """

    path: Path
    member: str | None
    features: tuple[str, ...]
    classes: tuple[str, ...]
    learner: str
    exchange: str
    at_ns: int
    samples_learnt: int
    peers: tuple[int, ...]
    awaiting: int
    size_bytes: int
    forgotten: tuple[tuple[int, int, int], ...] = ()


def read_state(path: Path) -> SavedState:
    """Describe the snapshot in ``path``, which is a file or the state folder of a node.

    A folder may be in use: the node replaces its snapshots as a whole.

    Raises
    ------
    ConfigError
        There is no snapshot, it is damaged, or a newer version of protovine wrote it.
    """
    found, data, state = newest_state(path)
    about, node = _mapping(state, "about"), unpack(bytes(state["node"]))
    schema, settings, who = (_mapping(about, key) for key in ("schema", "settings", "member"))
    return SavedState(
        found,
        f"{who['swarm']}/{who['name']}/{who['id']}" if who else None,
        tuple(schema.get("features", ())),
        tuple(schema.get("classes", ())),
        str(_mapping(settings, "learner").get("kind", "unknown")),
        str(_mapping(settings, "exchange").get("kind", "unknown")),
        int(state.get("at_ns", 0)),
        int(node.get("samples_learnt", 0)),
        tuple(state["peers"]),
        len(node.get("unlabelled", ())),
        len(data),
        tuple(
            (int(id), int(since), int(until)) for id, since, until in _mapping(node, "exchange").get("forgotten", ())
        ),
    )


def export_state(folder: Path, path: Path) -> SavedState:
    """Copy the newest whole snapshot of a state folder to a new file, which only its owner may read.

    Raises
    ------
    ConfigError
        There is no whole snapshot, or the file exists or cannot be written.
    """
    _, data, _ = newest_state(folder)
    try:
        with open(path, "xb", opener=owner_only) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
    except FileExistsError:
        raise ConfigError(f"{path} exists already") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    return read_state(path)


def import_state(path: Path, folder: Path, *, seed: bool = False) -> SavedState:
    """Put a snapshot into a state folder that has none, so that the next start of a node goes on from it.

    Parameters
    ----------
    path : Path
        What `export_state` wrote, or the state folder of another node.
    folder : Path
        The state folder of the node, new or without snapshots; no process may use it.
    seed : bool
        Keep the learner alone. A node of any name with the same schema and settings may begin with it: it knows what
        the other node had learnt, and is new to its peers. Without it the snapshot is a backup, which fits one member.

    Raises
    ------
    ConfigError
        The snapshot cannot be read, the folder has a snapshot, or it cannot be written or is in use.
    """
    _, _, state = newest_state(path)
    if seed:
        about = {key: value for key, value in _mapping(state, "about").items() if key != "member"}
        state = seed_of(state, about)
    with Store(folder) as store:
        there = snapshots(folder)
        if there:
            raise ConfigError(f"{there[0]} exists already; move it away, or name another folder")
        try:
            store.save(state)
        except OSError as error:
            raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None
    return read_state(folder)


def newest_state(path: Path) -> tuple[Path, bytes, dict[str, Any]]:
    """The newest whole snapshot in a file or a state folder, with its bytes; `ConfigError` if there is none."""
    return _newest(path)[0]


def passed_over(path: Path) -> str:
    """That the newest snapshot of a state folder is damaged, and which one `newest_state` takes; else empty."""
    with contextlib.suppress(ConfigError):
        (found, *_), damaged = _newest(path)
        if damaged is not None:
            return f"{damaged} is damaged; {found.name}, which was saved before it, is taken instead"
    return ""


def _newest(path: Path) -> tuple[tuple[Path, bytes, dict[str, Any]], Path | None]:
    """As `newest_state`, and the newer snapshot that is damaged, if there is one."""
    for tries_left in reversed(range(_TRIES)):
        paths = snapshots(path) if path.is_dir() else [path]
        if not paths:
            raise ConfigError(f"{path} has no snapshot")
        damaged, why = None, ""
        for each in paths:
            try:
                if each.stat().st_size > FILE_BYTES_MAX:
                    raise SnapshotError(f"it has more than {FILE_BYTES_MAX:,} bytes")
                data = each.read_bytes()
                state = with_format(unpack(data))
                check_format(each, state["format"])
                if not {"node", "peers"} <= state.keys():
                    raise SnapshotError("it is no snapshot of a node")
                unpack(bytes(state["node"]))
            except FileNotFoundError as error:
                if tries_left and path.is_dir():
                    break  # The node that runs is just putting another in its place.
                raise ConfigError(f"cannot read {each}: {error.strerror}") from None
            except OSError as error:
                raise ConfigError(f"cannot read {each}: {error.strerror}") from None
            except (SnapshotError, TypeError) as error:
                damaged, why = damaged or each, why or f"{each} is damaged: {error}"
                continue
            return (each, data, state), damaged
        else:
            raise ConfigError(why)
    raise AssertionError("the last try returns or raises")


def _mapping(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = of.get(key)
    return found if isinstance(found, Mapping) else {}
