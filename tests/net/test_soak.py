"""A few hours of samples at full speed through one runtime: its memory stays flat."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from benchmarks.soak import soak


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat(tmp_path: Path) -> None:
    """The first samples fill pools and windows; the day in full is `python -m benchmarks.soak`."""
    growth, _ = asyncio.run(soak(30_000, tmp_path, step=3_000, say=lambda line: None))
    # Half a megabyte of noise in 24,000 samples; a leak of 100 bytes per sample would be 10 MB.
    assert growth < 3e6
