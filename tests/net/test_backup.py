"""Saved states as files: what is in them, backups, seeds of new nodes, and what is refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from protovine.cli import main
from protovine.errors import ConfigError
from protovine.net import backup
from protovine.net.config import NodeSettings
from protovine.net.service import run_member
from protovine.snapshot import pack, unpack

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

SCHEMA = {"features": ["t", "h"], "classes": ["dry", "wet"]}
NETWORK = {"plain": True, "swarm": "barn", "listen": ["tcp/127.0.0.1:0"]}
LESSONS = [json.dumps({"x": {"t": t, "h": 1 + t % 3}, "y": "dry" if t < 5 else "wet"}) for t in [*range(10)] * 5]
QUESTIONS = [json.dumps({"id": t, "x": {"t": t, "h": 1}}) for t in (1, 8)]

Start = Callable[..., list[dict]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Runs a node over lines until they end; its predictions."""

    def run(name: str, lines: list[str], schema: dict = SCHEMA) -> list[dict]:
        (tmp_path / "in").write_text("\n".join(lines))
        (tmp_path / "out").unlink(missing_ok=True)
        tables = {
            "schema": schema,
            "network": {**NETWORK, "name": name, "id": ["ann", "bob"].index(name)},
            "source": {"kind": "file", "path": str(tmp_path / "in")},
            "sink": {"kind": "file", "path": str(tmp_path / "out")},
            "node": {"state": str(tmp_path / name)},
        }
        made = NodeSettings.read(None, tables)
        assert run_member(made, lambda: made)
        return [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]

    return run


def protovine(*words: object) -> Result:
    return CliRunner().invoke(main, ["state", *map(str, words)])


def dry(predictions: list[dict]) -> list[float]:
    return [each["probabilities"]["dry"] for each in predictions]


def shown(path: Path) -> dict:
    return json.loads(protovine("show", path, "--json").output)


def test_a_backup_goes_on_where_the_node_was(start: Start, tmp_path: Path) -> None:
    start("ann", LESSONS)
    copied = protovine("export", tmp_path / "ann", tmp_path / "backup")
    assert 0 == copied.exit_code and "samples learnt: 50" in copied.output
    assert 0o600 == stat.S_IMODE((tmp_path / "backup").stat().st_mode)
    expected = start("ann", QUESTIONS)
    (tmp_path / "ann").rename(tmp_path / "broken")
    assert 0 == protovine("import", tmp_path / "backup", tmp_path / "ann").exit_code
    assert ("barn/ann/0", 50, ["t", "h"]) == tuple(
        shown(tmp_path / "ann")[key] for key in ("member", "samples_learnt", "features")
    )
    found = start("ann", QUESTIONS)
    assert dry(expected) == pytest.approx(dry(found), abs=1e-3)  # What was learnt ages a little between the starts.


def test_a_seed_begins_another_node_with_what_was_learnt(start: Start, tmp_path: Path) -> None:
    start("ann", LESSONS)
    known = start("ann", QUESTIONS)
    taken = protovine("import", tmp_path / "ann", tmp_path / "bob", "--seed")
    assert 0 == taken.exit_code and "member: any (a seed)" in taken.output
    found = start("bob", QUESTIONS)
    assert ["dry", "wet"] == [each["prediction"] for each in found]
    assert dry(known) == pytest.approx(dry(found), abs=1e-3)
    # From its first snapshot on it is bob's own.
    assert ("barn/bob/1", 0, []) == tuple(shown(tmp_path / "bob")[key] for key in ("member", "samples_learnt", "peers"))


def test_a_seed_serves_a_schema_with_more_features_and_classes(start: Start, tmp_path: Path) -> None:
    start("ann", LESSONS)
    protovine("import", tmp_path / "ann", tmp_path / "bob", "--seed")
    wider = {"features": ["sun", "h", "t"], "classes": ["snow", "wet", "dry"]}
    for _ in range(2):
        assert ["dry", "wet"] == [each["prediction"] for each in start("bob", QUESTIONS, wider)]
    new = json.dumps({"x": {"t": 30, "h": 1, "sun": 5}, "y": "snow"})
    assert "snow" == start("bob", [new] * 3 + [json.dumps({"x": {"t": 31, "h": 1, "sun": 5}})], wider)[-1]["prediction"]


def test_a_seed_that_lacks_a_feature_is_refused_at_the_start(start: Start, tmp_path: Path) -> None:
    start("ann", LESSONS)
    protovine("import", tmp_path / "ann", tmp_path / "bob", "--seed")
    before = (tmp_path / "bob" / "snapshot.bin").read_bytes()
    with pytest.raises(ConfigError, match="had h and did not have sun among its features"):
        start("bob", QUESTIONS, {**SCHEMA, "features": ["t", "sun"]})
    assert before == (tmp_path / "bob" / "snapshot.bin").read_bytes()


def test_a_backup_fits_its_member_alone(start: Start, tmp_path: Path) -> None:
    start("ann", LESSONS)
    protovine("import", tmp_path / "ann", tmp_path / "bob")
    with pytest.raises(ConfigError, match="is of ann, number 0 of swarm barn, and this is bob"):
        start("bob", QUESTIONS)


def test_nothing_is_overwritten(start: Start, tmp_path: Path) -> None:
    start("ann", LESSONS)
    kept = tmp_path / "kept"
    kept.write_text("mine")
    refused = protovine("export", tmp_path / "ann", kept)
    assert (2, f"protovine: {kept} exists already\n") == (refused.exit_code, refused.stderr)
    start("bob", LESSONS[:5])
    before = (tmp_path / "bob" / "snapshot.bin").read_bytes()
    refused = protovine("import", tmp_path / "ann", tmp_path / "bob")
    assert 2 == refused.exit_code and "snapshot.bin exists already" in refused.stderr
    assert ("mine", before) == (kept.read_text(), (tmp_path / "bob" / "snapshot.bin").read_bytes())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a snapshot"),
        (b"PVS1" + bytes(40), "damaged"),
        (pack({"format": 3}), "it is no snapshot of a node"),
        (pack({"x": 1}), "it is no snapshot of a node"),
        (pack({"format": 3, "node": 5, "peers": []}), "damaged"),
        (pack({"format": 99, "node": b"", "peers": []}), "written by a newer version (format 99"),
    ],
)
def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "file").write_bytes(data)
    for words_of in (("show", tmp_path / "file"), ("import", tmp_path / "file", tmp_path / "new", "--seed")):
        refused = protovine(*words_of)
        assert 2 == refused.exit_code and words in refused.stderr, refused.output
    assert not (tmp_path / "new").exists()


def test_every_damaged_byte_is_found(start: Start, tmp_path: Path) -> None:
    start("ann", LESSONS[:3])
    data = (tmp_path / "ann" / "snapshot.bin").read_bytes()
    assert "node" in unpack(data)
    for place in range(0, len(data), max(1, len(data) // 40)):
        (tmp_path / "file").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert 2 == protovine("show", tmp_path / "file").exit_code, place


def test_a_folder_without_a_snapshot_is_said(tmp_path: Path) -> None:
    refused = protovine("show", tmp_path)
    assert (2, f"protovine: {tmp_path} has no snapshot\n") == (refused.exit_code, refused.stderr)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_not_damaged(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "file").chmod(0)
    assert f"cannot read {tmp_path / 'file'}: Permission denied" in protovine("show", tmp_path / "file").stderr


def test_a_snapshot_that_is_replaced_while_it_is_read_is_neither_missing_nor_damaged(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node that runs renames the newest one and then puts another in its place."""
    start("ann", LESSONS)
    newest, aside = tmp_path / "ann" / "snapshot.bin", tmp_path / "aside"
    whole, looks = newest.read_bytes(), list[Path]()

    def listed(folder: Path) -> list[Path]:
        looks.append(folder)
        if len(looks) % 2:
            newest.rename(aside)
        else:
            aside.rename(newest)
        return [newest]

    monkeypatch.setattr(backup, "snapshots", listed)
    assert (newest, whole) == backup.newest_state(tmp_path / "ann")[:2]
    assert "" == backup.passed_over(tmp_path / "ann")
    assert 4 == len(looks)
