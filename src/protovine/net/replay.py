"""The tapes of a node, played again: whether each start goes on from one before it, and leads to the saved state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protovine.errors import ConfigError, DataError
from protovine.net.backup import newest_state, passed_over
from protovine.net.clock import lasting, shown
from protovine.net.config import NodeSettings
from protovine.net.forget import made_of
from protovine.net.store import snapshots
from protovine.snapshot import unpack
from protovine.tape import Chain, Start, play_chain, read_tapes


@dataclass(frozen=True)
class Replayed:
    """What came of the tapes of a node.

    Parameters
    ----------
    folder : Path
        Where the tapes are.
    chain : Chain
    state : Path or None
        The saved state that they should lead to; None if the node has none.
    note : str
        That the newest saved state is damaged, if it is; ``state`` is the one before then.
    """

    folder: Path
    chain: Chain
    state: Path | None
    note: str = ""

    @property
    def good(self) -> bool:
        """Whether every start goes on from one before it, and a tape leads to the saved state."""
        return not self.chain.broken and (self.state is None or self.chain.source is not None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        starts = [{name: getattr(start, name) for name in Start.__dataclass_fields__} for start in self.chain.starts]
        state = {"path": str(self.state), "source": self.chain.source, "why": self.chain.why} if self.state else None
        return {"folder": str(self.folder), "good": self.good, "starts": starts, "state": state, "note": self.note}


def replay_node(settings: NodeSettings) -> Replayed:
    """Play the tapes of all starts of a node again. The node may run.

    Raises
    ------
    ConfigError
        The settings name no tape.
    DataError
        There is no tape.
    """
    if settings.node.tape is None:
        raise ConfigError("the file names no tape (node.tape): nothing was recorded that could be replayed")
    tape = Path(settings.node.tape)
    tapes = read_tapes(tape)
    if not tapes:
        raise DataError(f"there is no tape at {tape}: the node has not started with it")
    folder = settings.state_folder(settings.member())
    path, saved, note, why = None, None, "", ""
    if folder is not None and (there := snapshots(folder)):
        try:
            path, _, state = newest_state(folder)
        except ConfigError as error:
            path, why = there[0], str(error)
        else:
            saved, note = bytes(state["node"]), passed_over(folder)
            if unpack(saved)["node"] is None:
                path, saved = None, None  # A seed that no start has used yet.
    chain = play_chain(tapes, made_of(settings), saved)
    return Replayed(tape.parent, replace(chain, why=why) if why else chain, path, note)


def lines(found: Replayed) -> list[str]:
    """The findings as text, a line for each start."""
    said = [_line(start) for start in found.chain.starts]
    said += [found.note] if found.note else []
    if found.state is not None and found.chain.source is not None:
        said.append(f"the saved state: {found.chain.source} leads to it, to the last bit")
    elif found.state is not None:
        said.append(f"NO TAPE leads to the saved state: {found.chain.why}")
    return said


def _line(start: Start) -> str:
    if start.broken and not start.calls:
        return f"{start.name}: BROKEN: {start.why}"
    if start.cleaned is not None:
        text = f"member {start.cleaned} was forgotten in the saved state on {shown(start.began_ns)}"
    else:
        lasted = lasting(start.ended_ns - start.began_ns) if start.ended_ns > start.began_ns else "no time"
        text = f"start on {shown(start.began_ns)}, for {lasted}, {start.calls:,} calls"
        text += f", then {start.samples_learnt:,} samples learnt"
    how = {
        "nothing": "begins with nothing",
        "snapshot": f"goes on from {start.source}",
        "state": f"begins with a state: {start.why}",
    }[start.begins]
    if start.broken:
        how = f"BROKEN: {start.why}"
    return f"{start.name}: {text}; {how}"
