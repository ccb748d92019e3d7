"""Identities, trust, and two envelopes that have met."""

from __future__ import annotations

from pathlib import Path

import pytest

from protovine.net import Envelope, Identity, Trust, load_identity, load_trust
from tests.net.security.hellos import NAMES, envelope, met


@pytest.fixture(scope="session")
def members(home: Path) -> dict[str, Identity]:
    folders = {name: home / name for name in (*NAMES, "old", "bad")}
    folders |= {"other": home / "other" / "mallory", "twin": home / "twin" / "mallory"}
    return {name: load_identity(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session")
def trust(home: Path) -> Trust:
    return load_trust(home / "authority")


@pytest.fixture
def pair(members: dict[str, Identity], trust: Trust) -> tuple[Envelope, Envelope]:
    ann, bob = (envelope(members[name], trust) for name in ("ann", "bob"))
    met(ann, bob)
    return ann, bob
