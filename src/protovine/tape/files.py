"""Calls of a node as files: a tape for each start, the newest under the name that the settings give."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from protovine.errors import DataError
from protovine.tape.calls import AnyCall

_LENGTH_BYTES = 4
_ENTRY_BYTES_MAX = 2**26
_NUMBER_DIGITS = 4


class TapeError(DataError):
    """A tape that cannot be read to its end; ``why`` says it without the tape's name."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text)
        self.why = why


class Tape(NamedTuple):
    """The tape of one start.

    Parameters
    ----------
    name : str
        Of its file.
    calls : callable () -> iterable of calls
        Reads it, from the beginning.
    number : int or None
        Starts are numbered, in order.
    """

    name: str
    calls: Callable[[], Iterable[AnyCall]]
    number: int | None = None


def read_tapes(path: Path) -> list[Tape]:
    """The tapes of all starts of a node, in order; ``path`` is that of the newest start (`node.tape`).

    When a node starts, the tape of the start before gets the next number behind its name: ``ann.tape.0001``,
    ``ann.tape.0002``. Tapes that are empty are left out.

    Parameters
    ----------
    path : Path
        Its folder need not exist: then there are no tapes.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.tape import Ticked
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "ann.tape")
    ...     for name, at_ns in (("ann.tape.0001", 5), ("ann.tape", 8)):
    ...         _ = Path(folder, name).write_bytes(encode(Ticked(at_ns)))
    ...     [(tape.name, tape.number, list(tape.calls())) for tape in read_tapes(path)]
    [('ann.tape.0001', 1, [Ticked(now_ns=5)]), ('ann.tape', 2, [Ticked(now_ns=8)])]
    """
    found = numbered_tapes(path)
    found.append((found[-1][0] + 1 if found else 1, path))
    return [
        Tape(each.name, lambda each=each: read_tape(each), number)  # type: ignore[misc]
        for number, each in found
        if each.is_file() and each.stat().st_size
    ]


def numbered_tapes(path: Path) -> list[tuple[int, Path]]:
    """Numbers and paths of the tapes of earlier starts, in order.

    Parameters
    ----------
    path : Path
        That of the newest start.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("ann.tape", "ann.tape.0001", "ann.tape.0002", "bob.tape.0003"):
    ...         Path(folder, name).touch()
    ...     [(number, path.name) for number, path in numbered_tapes(Path(folder, "ann.tape"))]
    [(1, 'ann.tape.0001'), (2, 'ann.tape.0002')]
    """
    pattern = re.compile(re.escape(path.name) + r"\.([0-9]{1,12})")
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    return sorted((int(found[1]), each) for each in there if (found := pattern.fullmatch(each.name)))


def next_name(path: Path) -> Path:
    """The name that the tape at ``path`` gets when another start begins.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "ann.tape.0007").touch()
    ...     next_name(Path(folder, "ann.tape")).name
    'ann.tape.0008'
    """
    numbers = [number for number, _ in numbered_tapes(path)]
    return path.with_name(f"{path.name}.{max(numbers, default=0) + 1:0{_NUMBER_DIGITS}}")


def may_be_tape(path: Path) -> bool:
    """Whether a file may be a tape, also a damaged one: it begins with a length that an entry can have.

    Texts and snapshots do not.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.tape import Ticked
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tape, table = Path(folder, "ann.tape"), Path(folder, "rows.csv")
    ...     _ = tape.write_bytes(encode(Ticked(8))), table.write_text("wind,label")
    ...     may_be_tape(tape), may_be_tape(table)
    (True, False)
    """
    with open(path, "rb") as file:
        return int.from_bytes(file.read(_LENGTH_BYTES), "little") <= _ENTRY_BYTES_MAX


def encode(call: AnyCall) -> bytes:
    """A call as an entry of a tape file: its length, then MessagePack.

    Examples
    --------
    >>> from protovine.tape import Ticked
    >>> data = encode(Ticked(5))
    >>> int.from_bytes(data[:4], "little") == len(data) - 4
    True
    >>> msgspec.msgpack.decode(data[4:])
    {'is': 'timer', 'now_ns': 5}
    """
    body = msgspec.msgpack.encode(call)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def read_tape(path: Path) -> Iterator[AnyCall]:
    """The calls in a tape file; an entry that is cut off at its end is left out.

    Raises
    ------
    DataError
        The file cannot be read or is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from protovine.tape import Met, Ticked
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "ann.tape")
    ...     _ = path.write_bytes(encode(Met(5, peer=1)) + encode(Ticked(8))[:-1])
    ...     list(read_tape(path))  # The node died while it wrote the second call.
    [Met(now_ns=5, peer=1)]
    """
    decode = msgspec.msgpack.Decoder(AnyCall).decode
    try:
        with open(path, "rb") as file:
            while len(head := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
                size = int.from_bytes(head, "little")
                if size > _ENTRY_BYTES_MAX:
                    raise _damaged(path, f"an entry of {size} bytes")
                body = file.read(size)
                if len(body) < size:
                    return
                yield decode(body)
    except OSError as error:
        raise TapeError(f"cannot read the tape {path}: {error.strerror}", f"unreadable: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, how: str) -> TapeError:
    return TapeError(f"the tape {path} is damaged: {how}", f"damaged: {how}")
