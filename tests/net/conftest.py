"""Certificates that tests share: making them takes a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protovine.net import create_authority, issue, revoke

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Swarm barn with ann (0), bob (1), cat (2); old's (3) certificate is over, bad's (4) revoked.

    In ``other`` and ``twin`` are a mallory with id 0 of another swarm and of another authority of the same swarm.
    """
    path = tmp_path_factory.mktemp("certificates")
    create_authority(path / "authority", "barn", now=NOW - timedelta(days=60))
    issue(path / "authority", "old", path / "old", now=NOW - timedelta(days=50), days=30, id=3)
    for id, name in enumerate(("ann", "bob", "cat")):
        issue(path / "authority", name, path / name, now=NOW, addresses=["127.0.0.1", "localhost"], id=id)
    issue(path / "authority", "bad", path / "bad", now=NOW)
    revoke(path / "authority", "bad", now=NOW)
    for folder, swarm in (("other", "shed"), ("twin", "barn")):
        create_authority(path / folder / "authority", swarm, now=NOW)
        issue(path / folder / "authority", "mallory", path / folder / "mallory", now=NOW, addresses=["127.0.0.1"], id=0)
    return path
