"""State on disk: whatever the moment of a crash, the next start finds a whole state and a higher number."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protovine.errors import ConfigError, SnapshotError
from protovine.net import store as module
from protovine.net.samples import LocalSamples
from protovine.net.snapshots import restore_node
from protovine.net.store import FORMAT, Store, check_folder
from protovine.net.tally import Tally
from protovine.node import Node, make_example_node
from protovine.snapshot import pack, unpack

NEWEST, PREVIOUS = "snapshot.bin", "snapshot.previous.bin"


class Killed(BaseException):
    """Nothing runs after this, as after kill -9."""


@contextmanager
def killed_at(step: int) -> Iterator[Callable[[], int]]:
    """Stop before the call to the system number ``step``; a file's write stops half way. Gives the calls so far."""
    calls = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                raise Killed
            return real(*arguments, **more)

        return call

    def opened(path: Any, mode: str = "r", **more: Any) -> Any:
        file = counted(open)(path, mode, **more)
        whole = file.write

        def write(data: bytes) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                whole(data[: len(data) // 2])
                file.flush()
                raise Killed
            return whole(data)

        wrapped = mock.MagicMock(wraps=file)
        wrapped.write = write
        wrapped.__enter__.return_value = wrapped
        wrapped.__exit__.side_effect = lambda *error: file.close()
        wrapped.fileno = file.fileno
        return wrapped

    with (
        mock.patch.object(module, "open", opened, create=True),
        mock.patch.object(module.os, "replace", counted(os.replace)),
        mock.patch.object(module.os, "fsync", counted(os.fsync)),
    ):
        yield lambda: calls


def steps_of(work: Callable[[Store], None], folder: Path) -> int:
    with Store(folder) as store, killed_at(0) as calls:
        work(store)
        return calls()


def test_a_kill_at_any_step_of_a_save_leaves_this_state_or_the_one_before(tmp_path: Path) -> None:
    def save(store: Store) -> None:
        store.save({"x": 3})

    with Store(tmp_path / "count") as store:
        store.save({"x": 1})
        store.save({"x": 2})
    steps = steps_of(save, tmp_path / "count")
    assert steps >= 6, "open, write, sync, two renames, sync of the folder"
    found = []
    for step in range(1, steps + 1):
        with Store(tmp_path / str(step)) as store:
            store.save({"x": 1})
            store.save({"x": 2})
            with killed_at(step), pytest.raises(Killed):
                save(store)
        with Store(tmp_path / str(step)) as store:
            loaded = store.load()
            assert loaded.state is not None and not loaded.notes
            found.append(loaded.state["x"])
            store.save({"x": 4})
            assert store.load().state == {"format": FORMAT, "x": 4}
    assert set(found) == {2, 3} and found == sorted(found)


def test_a_kill_at_any_step_of_a_start_lets_the_next_have_a_higher_number(tmp_path: Path) -> None:
    def begin(store: Store) -> None:
        store.begin()

    steps = steps_of(begin, tmp_path / "count")
    assert steps >= 5
    for step in range(1, steps + 1):
        with Store(tmp_path / str(step)) as store:
            last = [store.begin(), store.begin()][-1]
            with killed_at(step), pytest.raises(Killed):
                begin(store)
        with Store(tmp_path / str(step)) as store:
            assert store.begin() > last


@given(newest=st.floats(0, 1), previous=st.floats(0, 1), flip=st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_is_cut_or_changed_is_set_aside_and_said(newest: float, previous: float, flip: bool) -> None:
    with tempfile.TemporaryDirectory() as name, Store(Path(name)) as store:
        folder = Path(name)
        for x in (1, 2):
            store.save({"x": x})
        whole = {}
        for file, part in ((NEWEST, newest), (PREVIOUS, previous)):
            data = (folder / file).read_bytes()
            at = round(part * len(data))
            whole[file] = at == len(data)
            if flip and not whole[file]:
                (folder / file).write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
            else:
                (folder / file).write_bytes(data[:at])
        loaded = store.load()
        expected = 2 if whole[NEWEST] else 1 if whole[PREVIOUS] else None
        assert expected == (loaded.state and loaded.state["x"])
        damaged = [NEWEST] * (not whole[NEWEST]) + [PREVIOUS] * (not whole[NEWEST] and not whole[PREVIOUS])
        assert [file in note for file, note in zip(damaged, loaded.notes, strict=True)] == [True] * len(damaged)
        for file in damaged:
            assert (folder / f"{file}.damaged").exists() and not (folder / file).exists()
        again = store.load()
        assert (again.state, again.notes) == (loaded.state, ()), "a note appears once"


def test_every_length_of_a_snapshot_but_the_whole_is_damage(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.save({"x": list(range(50))})
        data = (tmp_path / NEWEST).read_bytes()
        for length in range(len(data)):
            (tmp_path / NEWEST).write_bytes(data[:length])
            loaded = store.load()
            assert loaded.state is None and len(loaded.notes) == 1


def about(**changes: Any) -> dict[str, Any]:
    whole = {
        "member": {"swarm": "barn", "name": "ann", "id": 0},
        "schema": {
            "features": ["t", "h", "p"],
            "classes": ["'dry'", "'wet'"],
            "times": {"t": "2024-01-01T00:00:00Z"},
            "ordinal": {"h": ["low", "high"]},
        },
        "settings": {"learner": {"kind": "hedged", "size_max": 100}, "exchange": {"kind": "log"}},
    }
    for key, value in changes.items():
        whole[key] = {**whole[key], **value}
    return whole


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            about(member={"name": "bob", "id": 1}),
            "is of ann, number 0 of swarm barn, and this is bob, number 1 of swarm barn",
        ),
        (about(schema={"features": ["t", "h"]}), "had p among its features"),
        (about(schema={"features": ["t", "h", "q"]}), "had p and did not have q among its features"),
        (about(schema={"classes": ["'dry'", "'snow'"]}), "had 'wet' and did not have 'snow' among its classes"),
        (
            about(schema={"times": {"t": "2025-01-01T00:00:00Z"}}),
            "has feature 't' in seconds since 2024-01-01T00:00:00Z, which is in seconds since 2025-01-01T00:00:00Z now",
        ),
        (about(schema={"times": {}}), "in seconds since 2024-01-01T00:00:00Z, which is no time now"),
        (
            about(schema={"ordinal": {"h": ["high", "low"]}}),
            "has other positions of the texts of feature 'h': 'low' is 0 before and 1 now",
        ),
        (about(schema={"ordinal": {}}), "has feature 'h' as the position of a text, which is a number now"),
        (
            about(schema={"ordinal": {"h": ["low", "high"], "p": ["x"]}}),
            "has feature 'p' as a number, which is the position of a text now",
        ),
    ],
)
def test_a_state_of_something_else_is_refused_with_the_difference_and_stays(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with Store(tmp_path) as store:
        store.save({"x": 1, "about": about()})
        store.save({"x": 2, "about": about()})
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        for _ in range(2):
            for refuse in (lambda: store.load(about=changed), lambda: check_folder(tmp_path, changed)):
                with pytest.raises(ConfigError) as refused:
                    refuse()
                assert words in str(refused.value) and "--fresh" in str(refused.value)
        assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert store.load(about=about()).state["x"] == 2


@pytest.mark.parametrize("older", [False, True])
def test_a_state_fits_new_texts_after_the_known_ones_and_one_of_an_older_version_any(
    tmp_path: Path, older: bool
) -> None:
    saved = about()
    if older:
        saved["schema"] = {key: saved["schema"][key] for key in ("features", "classes")}
    texts = ["high"] if older else ["low", "high", "higher"]
    with Store(tmp_path) as store:
        store.save({"x": 1, "about": saved})
        assert store.load(about=about(schema={"ordinal": {"h": texts}})).state["x"] == 1


@pytest.mark.parametrize(
    ("schema", "words", "places"),
    [
        ({"features": ["p", "h", "t"]}, "the features are in another order", ([2, 1, 0], [0, 1])),
        ({"features": ["q", "t", "h", "p"]}, "features q are new", ([1, 2, 3], [0, 1])),
        (
            {"features": ["t", "h", "p", "q"], "classes": ["'wet'", "'snow'", "'dry'"]},
            "features q are new and classes 'snow' are new",
            ([0, 1, 2], [2, 0]),
        ),
    ],
)
def test_what_was_learnt_is_carried_over_where_features_or_classes_were_added(
    tmp_path: Path, schema: dict[str, Any], words: str, places: tuple[list[int], list[int]]
) -> None:
    changed = about(schema=schema)
    node = pack({"node": 0, "learner": {"a": 1}, "exchange": {}})
    with Store(tmp_path) as store:
        store.save({"about": about(), "node": node, "peers": [1], "at_ns": 7, "awaited": [["", "8", 1, 0, 0]]})
        before = (tmp_path / NEWEST).read_bytes()
        with pytest.raises(ConfigError, match="does not fit the settings"):
            store.load(_refused, changed)
        assert before == (tmp_path / NEWEST).read_bytes(), "nothing was touched"
        check_folder(tmp_path, changed)
        loaded = store.load(about=changed)
        (note,) = loaded.notes
        assert words in note and "the state before is kept as snapshot.previous.bin.before" in note
        assert loaded.state is not None
        expected = {"node": None, "learner": {"a": 1}, "features": places[0], "classes": places[1]}
        assert expected == unpack(loaded.state["node"])
        assert ([], [], 7) == tuple(loaded.state[key] for key in ("peers", "awaited", "at_ns"))
        assert before == (tmp_path / "snapshot.previous.bin.before").read_bytes()
        again = store.load(about=changed)
        assert again.notes == () and again.state is not None
        assert expected == unpack(again.state["node"])
        # The schema changes again before the node has run: places are still those of what was learnt.
        wider = about(schema={what: ["first", *changed["schema"][what]] for what in ("features", "classes")})
        twice = store.load(about=wider).state
        assert twice is not None
        moved = {what: [place + 1 for place in expected[what]] for what in ("features", "classes")}
        assert {**expected, **moved} == unpack(twice["node"])


def _refused(state: dict[str, Any]) -> None:
    raise SnapshotError("this learner cannot go on with other features or classes")


def test_settings_may_change_if_the_state_still_fits_and_it_says_which(tmp_path: Path) -> None:
    def check(state: dict[str, Any]) -> None:
        raise SnapshotError("the learner's state does not fit 3 features and 2 classes")

    changed = about(settings={"learner": {"kind": "hedged", "size_max": 50}})
    with Store(tmp_path) as store:
        store.save({"x": 1, "about": about()})
        (note,) = store.load(about=changed).notes
        assert note == "settings have changed since the snapshot: learner.size_max: 100 -> 50"
        with pytest.raises(ConfigError, match=r"does not fit the settings \(learner.size_max: 100 -> 50\): .*--fresh"):
            store.load(check, changed)
        assert (tmp_path / NEWEST).exists() and not list(tmp_path.glob("*.damaged*"))


def test_what_was_set_aside_is_never_overwritten(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for x in range(3):
            store.save({"x": x})
            (note,) = store.set_aside()[:1]
            assert NEWEST in note
            store.save({"x": 10 + x})
            (tmp_path / NEWEST).write_bytes(b"damaged %d" % x)
            assert store.load().state is None
    names = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(NEWEST))
    assert names == sorted(f"{NEWEST}.{word}{n}" for word in ("before", "damaged") for n in ("", "-2", "-3"))
    assert [(tmp_path / f"{NEWEST}.damaged{n}").read_bytes() for n in ("", "-2", "-3")] == [
        b"damaged 0",
        b"damaged 1",
        b"damaged 2",
    ]


def test_only_the_owner_can_read_the_state(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with Store(tmp_path / "state") as store:
            store.begin()
            store.save({"x": 1})
            store.save({"x": 2})
    finally:
        os.umask(old)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()} == {0o600}


def test_what_may_not_be_read_is_not_damaged(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.save({"x": 1})
        with mock.patch.object(Path, "read_bytes", side_effect=PermissionError(13, "Permission denied")):
            for refuse in (store.load, lambda: check_folder(tmp_path)):
                with pytest.raises(ConfigError, match=r"cannot read .*snapshot\.bin: Permission denied"):
                    refuse()
        with (
            mock.patch.object(Path, "read_text", side_effect=PermissionError(13, "Permission denied")),
            pytest.raises(ConfigError, match=r"cannot read .*incarnation: Permission denied"),
        ):
            store.begin()
        assert store.load().state == {"format": FORMAT, "x": 1}


@pytest.mark.parametrize("name", [NEWEST, PREVIOUS])
def test_a_folder_in_place_of_a_snapshot_is_refused_and_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with Store(tmp_path) as store:
        for refuse in (store.load, lambda: check_folder(tmp_path)):
            with pytest.raises(ConfigError, match=rf"^cannot read .*{name}: Is a directory$"):
                refuse()
    assert (tmp_path / name).is_dir()


def test_a_disk_that_cannot_be_read_is_damage_for_both(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.save({"x": 1})
        store.save({"x": 2})
        with mock.patch.object(Path, "read_bytes", side_effect=OSError(5, "Input/output error")):
            check_folder(tmp_path)
            assert store.load().state is None


def test_a_link_that_leads_nowhere_is_no_folder(tmp_path: Path) -> None:
    link = tmp_path / "state"
    link.symlink_to("gone")
    for folder, what in ((link, "it"), (link / "deep", str(link))):
        for refuse in (lambda folder=folder: Store(folder), lambda folder=folder: check_folder(folder)):
            with pytest.raises(ConfigError, match=f": {what} links to gone, which is not there$"):
                refuse()
    (tmp_path / "gone").mkdir()
    check_folder(link)
    Store(link / "deep").close()


@pytest.mark.parametrize("first", ["mkdir", "open"])
def test_a_full_disk_at_the_start_does_not_stop_it_and_saving_goes_on_with_room(tmp_path: Path, first: str) -> None:
    full = OSError(28, "No space left on device")
    folder = tmp_path / "state"
    with (
        mock.patch.object(Path, "mkdir", side_effect=full if first == "mkdir" else None, autospec=True),
        mock.patch.object(module.os, "open", side_effect=full),
    ):
        store = Store(folder)
        assert store.failure == "No space left on device" and store.begin(7) == 7
        assert store.load().state is None
        with pytest.raises(OSError, match="No space"):
            store.save({"x": 1})
    store.save({"x": 2})
    assert store.failure is None
    with pytest.raises(ConfigError, match="in use"):
        Store(folder)
    store.close()
    with Store(folder) as again:
        assert again.begin() == 8 and again.load().state["x"] == 2


def test_a_newer_format_is_refused_and_stays(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.save({})
        (tmp_path / NEWEST).write_bytes(pack({"format": FORMAT + 1, "x": 1}))
        with pytest.raises(ConfigError, match=rf"newer version \(format {FORMAT + 1}, this one reads up to {FORMAT}\)"):
            store.load()
        assert (tmp_path / NEWEST).exists()


@pytest.mark.parametrize("format", [0, -1, "2", None, 1.5])
def test_what_is_no_format_is_damage(format: object, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        (tmp_path / NEWEST).write_bytes(pack({"format": format}))
        assert store.load().state is None
        assert (tmp_path / f"{NEWEST}.damaged").exists()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.save({"x": 1})
        with (
            mock.patch.object(module.os, "fsync", side_effect=OSError(28, "No space left on device")),
            pytest.raises(OSError, match="No space"),
        ):
            store.save({"x": 2})
        assert store.load().state == {"format": FORMAT, "x": 1}


@pytest.mark.parametrize("call", [1, 2])
def test_a_snapshot_that_cannot_get_its_name_is_a_failure_like_others(call: int, tmp_path: Path) -> None:
    """As where something else has the name of the snapshot before."""
    renames, real = iter(range(1, 3)), os.replace

    def replace(source: Path, target: Path) -> None:
        if next(renames) == call:
            raise IsADirectoryError(21, "Is a directory")
        real(source, target)

    with Store(tmp_path) as store:
        store.save({"x": 1})
        with mock.patch.object(module.os, "replace", replace), pytest.raises(IsADirectoryError):
            store.save({"x": 2})
        assert store.failure == "Is a directory"
        assert store.load().state == {"format": FORMAT, "x": 1}
        assert not list(tmp_path.glob("*.part"))
        store.save({"x": 3})
        assert store.failure is None and store.load().state == {"format": FORMAT, "x": 3}


def test_a_higher_incarnation_while_a_snapshot_is_saved_disturbs_neither(tmp_path: Path) -> None:
    """A node raises it in its loop, and saves in a thread."""
    writing, go_on = threading.Event(), threading.Event()
    real = os.fsync

    def slow(handle: int) -> None:
        if threading.current_thread() is not threading.main_thread() and not writing.is_set():
            writing.set()
            assert go_on.wait(20)
        real(handle)

    with Store(tmp_path) as store, mock.patch.object(module.os, "fsync", slow):
        store._started = 7  # It could not be written before.
        saving = threading.Thread(target=store.save, args=({"x": 1},))
        saving.start()
        assert writing.wait(20)
        threading.Timer(0.05, go_on.set).start()
        store.raise_to(8)
        saving.join()
        assert store.failure is None and store.load().state == {"format": FORMAT, "x": 1}
        assert "8" == (tmp_path / "incarnation").read_text()


def test_another_process_cannot_have_the_folder(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from protovine.net.store import Store; Store(Path(sys.argv[1]))"

    def other() -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)

    with Store(tmp_path):
        with pytest.raises(ConfigError, match="is in use by another process"):
            Store(tmp_path)
        assert "is in use by another process" in other().stderr
    assert other().returncode == 0


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match=r"cannot use the state folder .*file"):
        Store(tmp_path / "file")


@given(content=st.one_of(st.binary(max_size=30), st.integers(-(10**25), 10**25).map(lambda n: str(n).encode())))
@settings(deadline=None)
def test_the_number_of_a_start_grows_whatever_the_file_holds(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name, Store(Path(name)) as store:
        for _ in range(5):
            last = store.begin()
        path = Path(name) / "incarnation"
        path.write_bytes(content)
        made = store.begin()
        assert made < 2**63
        if path.with_suffix(".damaged").exists():
            assert last < made and abs(made - time.time()) < 100
        else:
            assert made == int(content) + 1
        assert made < store.begin() < store.begin(first=2**32)
        assert store.raise_to(2**32 + 7) + 1 == store.begin()


def test_a_damaged_number_of_starts_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(tmp_path) as store:
        (tmp_path / "incarnation").write_text("seven")
        began = store.begin()
        assert f"was damaged: it is incarnation.damaged now, and starts count from {began} on" in caplog.text
        caplog.clear()
        assert (began + 1, "") == (store.begin(), caplog.text)


# A state of format 1, as a node with one peer left it after two samples (`write_fixture`). It must always load.
FORMAT_1 = """
cHZzMWlnAHqFpmZvcm1hdAGkbm9kZcUCfHB2czFYnld0iaRub2RlAKZub3dfbnMDrnNhbXBsZXNf
bGVhcm50Aqt0cmFpbl9hdF9ucwCoZ2l2ZW5fdXAAp2xlYXJuZXKIoXjHGgGTozxmOJICAcQQAAAA
AAAA0D8AAAAAAADoP6VsYWJlbMcZAZOjPGk4kQLEEAAAAAAAAAAAAQAAAAAAAACkbWFzc8cZAZOj
PGY4kQLEEAAAAAAAAAAAAAAAAAAAAAClZXZlbnTHGQGTozxpOJECxBABAAAAAAAAAAIAAAAAAAAA
pGVkZ2XHCgGTozxpNJIAA8QApmNvdW50c8chAZOjPGk4kQPEGAIAAAAAAAAAAAAAAAAAAAACAAAA
AAAAAKVyYXRlc8cZAZOjPGY4kQLEEM3MzMzMzOw/mpmZmZmZuT+qY29tcHJlc3NvcsCoZXhjaGFu
Z2WDpmdvc3NpcIOraW5jYXJuYXRpb24BqHNlcXVlbmNlAqV2aWV3c5GWAQAAAAAAqHNjaGVkdWxl
gaNybmeErWJpdF9nZW5lcmF0b3KlUENHNjSlc3RhdGWCpXN0YXRlgadfX2ludF9f2ScxNDM2MDk2
NTg0NTY0ODYxODM2MzYwNjYyNzEwOTc2MzQ0MTA3MjGjaW5jgadfX2ludF9f2SY4NzEzNjM3MjUx
NzU4Mjk4OTU1NTQ3ODE1OTQwMzc4Mzg0NDc3N6poYXNfdWludDMyAKh1aW50ZWdlcgClc2hhcmWD
pGdhdGWArWxhc3RfcmVjZWl2ZWSQqWxhc3Rfc2VudJClaW5ib3iCpHR1cm4ApnF1ZXVlc5GSAZCq
dW5sYWJlbGxlZJGTB8cRAZOjPGY4kQHECAAAAAAAAOA/A6VwZWVyc5EBp2F3YWl0ZWSRk6RsYXRl
BwGnbmV4dF9pZAg=
"""

# The same of format 2, in which samples that wait for labels have a device.
FORMAT_2 = """
cHZzMTDnUjCFpmZvcm1hdAKkbm9kZcUCfHB2czFYnld0iaRub2RlAKZub3dfbnMDrnNhbXBsZXNf
bGVhcm50Aqt0cmFpbl9hdF9ucwCoZ2l2ZW5fdXAAp2xlYXJuZXKIoXjHGgGTozxmOJICAcQQAAAA
AAAA0D8AAAAAAADoP6VsYWJlbMcZAZOjPGk4kQLEEAAAAAAAAAAAAQAAAAAAAACkbWFzc8cZAZOj
PGY4kQLEEAAAAAAAAAAAAAAAAAAAAAClZXZlbnTHGQGTozxpOJECxBABAAAAAAAAAAIAAAAAAAAA
pGVkZ2XHCgGTozxpNJIAA8QApmNvdW50c8chAZOjPGk4kQPEGAIAAAAAAAAAAAAAAAAAAAACAAAA
AAAAAKVyYXRlc8cZAZOjPGY4kQLEEM3MzMzMzOw/mpmZmZmZuT+qY29tcHJlc3NvcsCoZXhjaGFu
Z2WDpmdvc3NpcIOraW5jYXJuYXRpb24BqHNlcXVlbmNlAqV2aWV3c5GWAQAAAAAAqHNjaGVkdWxl
gaNybmeErWJpdF9nZW5lcmF0b3KlUENHNjSlc3RhdGWCpXN0YXRlgadfX2ludF9f2ScxNDM2MDk2
NTg0NTY0ODYxODM2MzYwNjYyNzEwOTc2MzQ0MTA3MjGjaW5jgadfX2ludF9f2SY4NzEzNjM3MjUx
NzU4Mjk4OTU1NTQ3ODE1OTQwMzc4Mzg0NDc3N6poYXNfdWludDMyAKh1aW50ZWdlcgClc2hhcmWD
pGdhdGWArWxhc3RfcmVjZWl2ZWSQqWxhc3Rfc2VudJClaW5ib3iCpHR1cm4ApnF1ZXVlc5GSAZCq
dW5sYWJlbGxlZJGTB8cRAZOjPGY4kQHECAAAAAAAAOA/A6VwZWVyc5EBp2F3YWl0ZWSRlKZiYXJu
LzGkbGF0ZQcBp25leHRfaWQI
"""

# The same of format 3, with how long samples have waited, what the node is, and hellos of peers.
FORMAT_3 = """
cHZzMXh++dWIpmZvcm1hdAOlYWJvdXSApWF0X25zA6ZoZWxsb3OQpG5vZGXFAoFwdnMxnfsF5omk
bm9kZQCmbm93X25zA65zYW1wbGVzX2xlYXJudAKrdHJhaW5fYXRfbnMAqGdpdmVuX3VwAKdsZWFy
bmVyiKF4xxoBk6M8ZjiSAgHEEAAAAAAAANA/AAAAAAAA6D+lbGFiZWzHGQGTozxpOJECxBAAAAAA
AAAAAAEAAAAAAAAApG1hc3PHGQGTozxmOJECxBAAAAAAAAAAAAAAAAAAAAAApWV2ZW50xxkBk6M8
aTiRAsQQAQAAAAAAAAACAAAAAAAAAKRlZGdlxwoBk6M8aTSSAAPEAKZjb3VudHPHIQGTozxpOJED
xBgCAAAAAAAAAAAAAAAAAAAAAgAAAAAAAAClcmF0ZXPHGQGTozxmOJECxBDNzMzMzMzsP5qZmZmZ
mbk/qmNvbXByZXNzb3LAqGV4Y2hhbmdlg6Znb3NzaXCDq2luY2FybmF0aW9uAahzZXF1ZW5jZQKl
dmlld3ORlgEAAAAAAKhzY2hlZHVsZYGjcm5nhK1iaXRfZ2VuZXJhdG9ypVBDRzY0pXN0YXRlgqVz
dGF0ZYGnX19pbnRfX9knMTQzNjA5NjU4NDU2NDg2MTgzNjM2MDY2MjcxMDk3NjM0NDEwNzIxo2lu
Y4GnX19pbnRfX9kmODcxMzYzNzI1MTc1ODI5ODk1NTU0NzgxNTk0MDM3ODM4NDQ3NzeqaGFzX3Vp
bnQzMgCodWludGVnZXIApXNoYXJlg6RnYXRlgK1sYXN0X3JlY2VpdmVkkKlsYXN0X3NlbnSQpWlu
Ym94g6R0dXJuAKNybmfApnF1ZXVlc5GSAZCqdW5sYWJlbGxlZJGTB8cRAZOjPGY4kQHECAAAAAAA
AOA/A6VwZWVyc5EBp2F3YWl0ZWSRlaZiYXJuLzGkbGF0ZQcBBaduZXh0X2lkCA==
"""


def write_fixture() -> str:
    """What ``FORMAT_3`` was made with; a new format needs a new one beside it."""
    node = make_example_node()
    node.observe([0.25], 0, now_ns=1)
    node.observe([0.75], 1, now_ns=2)
    node.observe([0.5], now_ns=3, sample_id=7)
    more = {"about": {}, "at_ns": 3, "hellos": []}
    state = {**more, "node": node.snapshot(), "peers": [1], "awaited": [["barn/1", "late", 7, 1, 5]], "next_id": 8}
    return base64.encodebytes(pack({"format": 3, **state})).decode()


@pytest.mark.parametrize(
    ("fixture", "awaited", "device"),
    [
        (FORMAT_1, ["late", 7, 1], ""),
        (FORMAT_2, ["barn/1", "late", 7, 1], "barn/1"),
        (FORMAT_3, ["barn/1", "late", 7, 1, 5], "barn/1"),
    ],
)
def test_a_snapshot_of_every_format_is_read(tmp_path: Path, fixture: str, awaited: list[Any], device: str) -> None:
    made: list[Node] = []
    with Store(tmp_path) as store:
        (tmp_path / NEWEST).write_bytes(base64.b64decode(fixture))
        loaded = store.load(lambda state: made.append(restore_node(lambda peers: make_example_node(), state, 10)))
    assert loaded.notes == () and loaded.state is not None
    assert (loaded.state["awaited"], loaded.state["next_id"]) == ([awaited], 8)
    (node,) = made
    samples = LocalSamples(node, Tally())
    samples.restore(loaded.state)
    assert samples.awaited == [(device, "late")]
    assert (node.samples_learnt, node.unlabelled, node.peers, len(node.learner)) == (2, 1, [1], 2)
    assert node.incarnation == 2
    assert [node.observe([x], now_ns=20).code for x in (0.25, 0.75)] == [0, 1]


@pytest.mark.parametrize("wrong", [{"node": b"x"}, {"peers": ["x"]}, {"peers": None}, {"node": None}])
def test_a_state_with_wrong_parts_is_damaged(wrong: dict[str, Any]) -> None:
    state = {"node": make_example_node().snapshot(), "peers": [1], **wrong}
    with pytest.raises(SnapshotError):
        restore_node(lambda peers: make_example_node(), state, 0)
