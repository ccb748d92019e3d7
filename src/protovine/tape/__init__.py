"""Every call of a node, in order: enough to replay a real run, call by call, in virtual time.

- `calls.py`: the calls, `TapedNode` which takes them down, `repeat`
- `play.py`: `play`, and `play_without` a member
- `files.py`: one file for each start: `read_tapes`, `read_tape`
- `chain.py`: `play_chain`, the tapes of several starts one after the other
"""

from protovine.tape.calls import (
    AnyCall,
    Began,
    Call,
    Cleaned,
    Delivered,
    Distrusted,
    Finished,
    Forgot,
    GivenUp,
    Labelled,
    Met,
    Noted,
    Observed,
    Reached,
    Rejoined,
    Restored,
    Retuned,
    Shifted,
    TapedNode,
    Ticked,
    repeat,
)
from protovine.tape.chain import Chain, Start, comparable, play_chain
from protovine.tape.files import Tape, encode, may_be_tape, next_name, numbered_tapes, read_tape, read_tapes
from protovine.tape.play import Beginning, Without, play, play_without

__all__ = [
    "AnyCall",
    "Began",
    "Beginning",
    "Call",
    "Chain",
    "Cleaned",
    "Delivered",
    "Distrusted",
    "Finished",
    "Forgot",
    "GivenUp",
    "Labelled",
    "Met",
    "Noted",
    "Observed",
    "Reached",
    "Rejoined",
    "Restored",
    "Retuned",
    "Shifted",
    "Start",
    "Tape",
    "TapedNode",
    "Ticked",
    "Without",
    "comparable",
    "encode",
    "may_be_tape",
    "next_name",
    "numbered_tapes",
    "play",
    "play_chain",
    "play_without",
    "read_tape",
    "read_tapes",
    "repeat",
]
