"""The network that cannot be opened again, for a second or for days."""

from __future__ import annotations

import asyncio
import logging

import pytest

from protovine.net.reopening import Reopening
from tests.net.hub import until


def test_a_network_that_stays_shut_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="protovine")
    now_s, shut, opened = [0.0], [True], list[bool]()

    def reopen() -> None:
        if shut[0]:
            raise OSError("no such interface")

    async def scenario() -> None:
        reopening = Reopening(reopen, [], opened.append, lambda: now_s[0])

        async def attempt(at_s: float) -> None:
            now_s[0] = at_s
            before = len(opened)
            reopening.start("no sign of bob")
            await until(lambda: len(opened) > before)

        for at_s in range(0, 180, 2):
            await attempt(at_s)
        shut[0] = False
        await attempt(181)
        await attempt(182)

    asyncio.run(scenario())
    assert [False] * 90 + [True] * 2 == opened
    failed = "could not open the network, which is tried again: no such interface"
    said = [record.message for record in caplog.records]
    assert ["no sign of bob", failed, failed, failed, "the network is open again", "no sign of bob"] == said
