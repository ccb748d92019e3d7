"""A member is forgotten in the saved state of a node that does not run, exactly where what it sent was recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from protovine.errors import ConfigError, RemoteProtocolError, suggest
from protovine.exchange import Unlearned
from protovine.learn import Contribution
from protovine.net.backup import newest_state
from protovine.net.config import NodeSettings
from protovine.net.contribution import gone, remaining
from protovine.net.security.hello import PLAIN, SIGNED, read_hello
from protovine.net.snapshots import restore_node
from protovine.net.store import Store
from protovine.net.tapes import TapeFile
from protovine.node import Node
from protovine.snapshot import pack, unpack
from protovine.system import NodeContext, SystemSettings
from protovine.system.build import build_node
from protovine.tape import (
    Began,
    Chain,
    Cleaned,
    Forgot,
    Restored,
    numbered_tapes,
    play_chain,
    read_tapes,
)

# The learner is as if the items had never come; what is known to be the member's is gone; nothing was there.
EXACT, APPROXIMATE, NOTHING = "exact", "approximate", "nothing"


@dataclass(frozen=True)
class Report:
    """What was forgotten of a member, and what remains.

    Parameters
    ----------
    folder : Path
        The state folder.
    member : str
        Name, or id where no name is known.
    id : int
    since_ns, until_ns : int
        First and last event time of what was to be forgotten.
    level : str
        ``exact``: the learner equals one that never got the items. ``approximate``: what is known as its is gone.
        ``nothing``: there was nothing.
    how : str
        By what the level was reached.
    gone : str
        What was there.
    waiting, dropped, reduced, mixed : int
        Items that waited, and prototypes; see `Contribution`.
    items : int or None
        Largest number of items that may still be in sums; None if the learner does not know.
    remains : tuple of str
        What stays, a sentence each.
    files : tuple of Path
        Files beside the state that may have the items.
    """

    folder: Path
    member: str
    id: int
    since_ns: int
    until_ns: int
    level: str
    how: str
    gone: str
    waiting: int
    dropped: int
    reduced: int
    mixed: int
    items: int | None
    remains: tuple[str, ...]
    files: tuple[Path, ...]


def forget_in_state(
    folder: Path, who: str, since_ns: int, until_ns: int, settings: NodeSettings | None = None, id: int | None = None
) -> Report:
    """Forget a member in the newest snapshot of a state folder, which no process may use.

    Parameters
    ----------
    folder : Path
    who : str
        Name of the member, or its id.
    since_ns, until_ns : int
        First and last event time, both included, of what is to be forgotten. Such items are refused from now on.
    settings : NodeSettings, optional
        The node's. With the tapes of the node's starts the learner learns again without the member.
    id : int, optional
        Of the member, if the caller knows it.

    Raises
    ------
    ConfigError
        There is no snapshot, no such member, the folder is in use, the settings are not those of the state, or no tape
        leads to the snapshot. Nothing was changed.
    """
    if not folder.is_dir():
        raise ConfigError(f"no such folder: {folder}")
    with Store(folder) as store:
        path, _, state = newest_state(folder)
        id, name = _member(path, state, who, id)
        build = _builder(path, state, settings)
        saved = unpack(bytes(state["node"]))
        if saved["node"] == id:
            raise ConfigError(f"the state in {folder} is of {name} itself: a node does not forget its own samples")
        replayed = None if settings is None else _replayed(settings, state, saved, id, since_ns, until_ns)
        found, level, how, new = _forgotten(build, state, saved, replayed, id, since_ns, until_ns)
        if settings is not None and settings.node.tape is not None and saved["node"] is not None:
            called = replayed is None and level == APPROXIMATE
            _keep_on_tape(settings, state, saved, Forgot(saved["now_ns"], id, since_ns, until_ns, True), called, new)
        try:
            store.save({**state, "node": new})
            store.drop_previous()
        except OSError as error:
            raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None
        files = tuple(store.set_aside_before())
    if settings is not None and settings.node.tape is not None:
        tape = Path(settings.node.tape)
        files += tuple(path for _, path in numbered_tapes(tape)) + ((tape,) if tape.exists() else ())
    learnt = found.learnt or Contribution()
    exact = level != APPROXIMATE
    left = [] if exact else remaining(found) or ["what remained when it was forgotten before"]
    return Report(
        folder,
        name,
        id,
        since_ns,
        until_ns,
        level,
        how,
        gone(found),
        found.waiting,
        learnt.dropped,
        learnt.reduced,
        learnt.mixed,
        0 if exact else found.learnt and learnt.items,
        (*left, *_relayed(state)),
        files,
    )


def _forgotten(
    build: Callable[[list[int]], Node],
    state: dict[str, Any],
    saved: dict[str, Any],
    replayed: Chain | None,
    id: int,
    since_ns: int,
    until_ns: int,
) -> tuple[Unlearned, str, str, bytes]:
    """What was found, the level and how it was reached, and the bytes of the node afterwards."""
    if saved["node"] is None:
        seed = build([])
        seed.restore(bytes(state["node"]), 0)
        found = seed.forget(id, since_ns, until_ns, 0)
        level = APPROXIMATE if found.learnt != Contribution() else NOTHING
        data = pack({"node": None, "learner": seed.learner.state()})
        return found, level, "a seed does not say whom the node had heard that learnt it", data
    node = restore_node(build, state, saved["now_ns"])
    awaiting = {name for name, *_ in saved["unlabelled"]}
    view = node.views.get(id)
    before = node.exchange.forgotten.ranges(id)
    heard = (view is not None and view.accepted > 0) or bool(before)
    found = node.forget(id, since_ns, until_ns, node.now_ns, whole=True)
    if not heard and found in (Unlearned(0, Contribution()), Unlearned(0, None)):
        return Unlearned(0, Contribution()), NOTHING, "no message of it was accepted", node.snapshot(awaiting)
    if not before and found.learnt == Contribution():
        return found, EXACT, "none of its items was learnt", node.snapshot(awaiting)
    if _kind(state) == "models" and found.learnt is not None:
        return found, EXACT, "the models of peers are kept apart", node.snapshot(awaiting)
    if replayed is None:
        models = "models of peers are averaged into its own, which a tape cannot separate"
        how = models if _kind(state) == "models" else "without a tape of the node (--node, node.tape)"
        if before:
            how += ", and it was forgotten before: what remained then remains"
        return found, APPROXIMATE, how, node.snapshot(awaiting)
    assert replayed.other is not None
    again = restore_node(build, {**state, "node": replayed.other.data}, saved["now_ns"])
    again.refuse(id, since_ns, until_ns, whole=True)  # Its learner is what it should be already.
    led = replayed.leading
    starts = sum(start.cleaned is None for start in led)
    tapes, s = ("the tape", "s") if starts == 1 else (f"the tapes of {starts} starts", "")
    if replayed.other.exact:
        how = f"learnt again from {tapes}, which lead{s} to the saved state"
        return found, EXACT, how, again.snapshot(awaiting)
    left = Unlearned(found.waiting, replayed.other.contribution)
    how = f"learnt again from {tapes}, which begin{s} with a state that had heard it ({led[0].name}: {led[0].why})"
    return left, APPROXIMATE, how, again.snapshot(awaiting)


def _replayed(
    settings: NodeSettings, state: dict[str, Any], saved: dict[str, Any], id: int, since_ns: int, until_ns: int
) -> Chain | None:
    """The tapes, played to the moment of the snapshot, as it was and without the items; None without a tape.

    The replay as it was must equal the snapshot to the last bit: then the replay without the items is what would be.
    """
    if settings.node.tape is None or saved["node"] is None or _kind(state) == "models":
        return None
    tape = Path(settings.node.tape)
    found = play_chain(read_tapes(tape), made_of(settings), bytes(state["node"]), id, since_ns, until_ns)
    if found.other is not None:
        return found
    faults = [f"{start.name}: {start.why}" for start in found.broken]
    why = "; ".join([*faults, found.why]) if found.starts else "there is none"
    raise ConfigError(
        f"no tape leads to the saved state ({tape}: {why}); --state instead of --node forgets what is known to be the "
        "member's"
    )


def made_of(settings: NodeSettings) -> Callable[[Began], Node]:
    """Makes fresh nodes with these settings, for `protovine.tape.play_chain`."""
    schema = settings.schema_of()
    return lambda began: settings.build(schema, began.node, began.incarnation, [])


def _keep_on_tape(
    settings: NodeSettings, state: dict[str, Any], saved: dict[str, Any], forgot: Forgot, called: bool, new: bytes
) -> None:
    """Take down what happens to the state, on a tape of its own, so that tapes go on leading from start to start.

    What was ``called`` is a call of the node like others. What a replay found is the state of a node without the items.
    """
    assert settings.node.tape is not None
    now_ns = forgot.now_ns
    began = Began(now_ns, saved["node"], 1, tuple(int(peer) for peer in state["peers"]))
    cleaned = Cleaned(now_ns, forgot.peer, forgot.since_ns, forgot.until_ns, new)
    with TapeFile(Path(settings.node.tape), settings.node.tapes_max) as tape:
        for call in (began, Restored(now_ns, bytes(state["node"])), forgot if called else cleaned):
            tape.write(call)
        tape.sync()
        if tape.failure is not None:
            raise ConfigError(f"node.tape: cannot write {tape.path}: {tape.failure}")


def _member(path: Path, state: dict[str, Any], who: str, id: int | None) -> tuple[int, str]:
    """Id and name of a member that the state knows; any, if its ``id`` is given."""
    names: dict[int, str] = {}
    for peer, hello in state.get("hellos", ()):
        for kind in (SIGNED, PLAIN):
            with contextlib.suppress(RemoteProtocolError):
                names[int(peer)] = read_hello(bytes(hello), kind)[0].name
    if id is not None:
        return id, who
    node = unpack(bytes(state["node"]))
    known = {*map(int, state["peers"]), *names}
    learner = node["learner"]
    known |= {int(origin) for origin, _ in learner.get("slots", ())} if isinstance(learner, Mapping) else set()
    by_name = {name: peer for peer, name in names.items()}
    if who in by_name:
        return by_name[who], who
    if who.isdecimal() and int(who) in known:
        return int(who), names.get(int(who), who)
    choices = [names.get(peer, str(peer)) for peer in known]
    hint = suggest(who, choices) if choices else " (it has met none)"
    raise ConfigError(f"the state in {path.parent} knows no member {who!r}{hint}")


def _builder(path: Path, state: dict[str, Any], settings: NodeSettings | None) -> Callable[[list[int]], Node]:
    """Builds the node of a state: from its settings, or from what the snapshot says of them."""
    about = state.get("about") or {}
    try:
        features, classes = (about["schema"][what] for what in ("features", "classes"))
        tables, who = about["settings"], about.get("member")
    except (KeyError, TypeError):
        raise ConfigError(
            f"{path} does not say what it is of: an earlier version wrote it; start the node once"
        ) from None
    if settings is not None:
        schema, member = settings.schema_of(), settings.member()
        now = settings.about(schema, member)
        for what in ("member", "schema", "settings"):
            if about.get(what) is not None and about[what] != now[what]:
                raise ConfigError(f"{path} was saved with another {what} than the node's file has: start the node once")
        return lambda peers: settings.build(schema, member.id, 1, peers)
    own = who["id"] if who else 0
    made = SystemSettings.model_validate({"learner": tables["learner"], "exchange": tables["exchange"]})

    def build(peers: list[int]) -> Node:
        return build_node(
            made,
            NodeContext(
                node=own,
                peers=peers,
                dim=len(features),
                n_classes=len(classes),
                draw=lambda purpose: np.random.default_rng(0),  # Its state comes from the snapshot.
                incarnation=1,
                train_period_ns=1,
            ),
        )

    return build


def _kind(state: Mapping[str, Any]) -> str:
    """How the node exchanges knowledge."""
    settings = (state.get("about") or {}).get("settings") or {}
    return str(settings.get("exchange", {}).get("kind", ""))


def _relayed(state: Mapping[str, Any]) -> list[str]:
    """What others may have passed on."""
    if _kind(state) == "sets":
        return ["what other members learnt from it and passed on in their sets: nobody knows whose it is"]
    return []


def lines(report: Report) -> list[str]:
    """The report as text."""
    left = [f"remains: {each}" for each in report.remains] or ["remains: nothing of it in what was learnt"]
    files = [f"may still have it: {path}" for path in report.files]
    all_gone = ", and all that its items did" if report.level == EXACT else ""
    return [f"{report.level}: {report.how}", f"gone: {report.gone}{all_gone}", *left, *files]
