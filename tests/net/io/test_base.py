"""Sources of a user: the example of the gallery has all that the protocol wants, and feeds a real node."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typing_extensions import get_protocol_members

from protovine.net import BaseSource, CsvReplay, JsonLines, Mqtt, Schema, Source, ZenohKeys
from protovine.net.config import NodeSettings
from protovine.net.ops.metrics import read
from protovine.net.service import run_member

pytest.importorskip("zenoh", reason="the extra `net` is not installed")

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`examples/own_source.py`, imported."""
    spec = importlib.util.spec_from_file_location("own_source", ROOT / "examples" / "own_source.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_source", module)
    spec.loader.exec_module(module)
    return module


def test_every_source_has_all_that_the_protocol_wants(example: ModuleType, tmp_path: Path) -> None:
    schema = Schema(("wind",), ("dry", "wet"))
    (tmp_path / "w.csv").write_text("wind,y\n1,dry\n")
    (tmp_path / "w.jsonl").touch()
    sources: list[Source] = [
        example.GreenhouseSource(3),
        CsvReplay(schema, tmp_path / "w.csv", label="y"),
        JsonLines(schema, tmp_path / "w.jsonl"),
        Mqtt(schema, "127.0.0.1", ["wind"]),
        ZenohKeys(schema, lambda declare: None, "wind"),
    ]
    for source in sources:
        assert set() == {name for name in get_protocol_members(Source) if not hasattr(source, name)}, source
        assert (0, Counter(), 0, []) == (source.taken, source.refusals, source.dropped, source.unmapped), source


def test_two_sources_count_apart() -> None:
    one, other = BaseSource(), BaseSource()
    one.taken += 1
    one.refusals["fault"] += 1
    one.never_seen.append("wind")
    one.unmapped.append("sky")
    assert (0, Counter(), [], []) == (other.taken, other.refusals, other.never_seen, other.unmapped)
    assert (1, Counter(fault=1), ["wind"], ["sky"]) == (one.taken, one.refusals, one.never_seen, one.unmapped)


def test_a_live_node_takes_the_source_of_the_example(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From its first event to its end, with health and metrics on the way."""
    readings: list[Any] = []

    class Watched(example.GreenhouseSource):  # type: ignore[misc,name-defined]
        def __init__(self, hours: int, schema: Schema) -> None:
            super().__init__(hours)
            assert schema == example.SCHEMA
            sources.append(self)

        async def events(self) -> Any:
            async for event in super().events():
                yield event
                if self.taken == 20:
                    readings.append((read(runtimes[0]), runtimes[0].status()))

    sources, runtimes = list[Any](), list[Any]()
    monkeypatch.setattr(example, "Watched", Watched, raising=False)

    def feed(runtime: Any, events: Any, put: Any) -> Any:
        runtimes.append(runtime)
        return feeding(runtime, events, put)

    from protovine.net import service

    feeding = service.feed
    monkeypatch.setattr(service, "feed", feed)
    settings = NodeSettings.read(
        None,
        {
            "node": {"state": "none"},
            "network": {"plain": True, "swarm": "barn", "name": "greenhouse", "id": 0, "listen": ["tcp/127.0.0.1:0"]},
            "schema": {"features": list(example.SCHEMA.features), "classes": list(example.SCHEMA.classes)},
            "source": {"kind": "own", "code": "own_source:Watched", "parameters": {"hours": 40}},
            "sink": {"kind": "file", "path": str(tmp_path / "out")},
        },
    )
    assert run_member(settings, lambda: settings)
    ((reading, _),) = readings
    (source,) = sources
    assert (40, 40, 1) == (source.taken, runtimes[0].node.samples_learnt, reading.values["source_connected"])
    assert 40 == len((tmp_path / "out").read_text().splitlines())
