"""A member that floods the others, in virtual time."""

from __future__ import annotations

from pathlib import Path

import msgspec

from protovine.net import load_trust, revoke
from protovine.net.transport import Channel
from tests.net.conftest import NOW
from tests.net.world import MINUTE, S, World, certify, repeatable


def test_a_flood_does_not_hold_up_the_list_that_revokes_its_sender(tmp_path: Path) -> None:
    with repeatable():
        world = World(*certify(tmp_path, 3))
        one, two, eve = (world.start(member) for member in range(3))
        world.until(lambda: all(len(each.runtime.roster.peers) == 2 for each in (one, two, eve)), MINUTE)
        noise = msgspec.msgpack.encode([77, 2**40, b"no list"])

        def flood() -> None:
            for _ in range(10):
                one.arrive(Channel.REVOCATIONS, noise)
                two.arrive(Channel.REVOCATIONS, noise)
            world.at(world.now_ns + S // 10, flood)

        flood()
        world.run(20 * S)
        revoke(tmp_path / "authority", "node-2", now=NOW)
        one.runtime.update_trust(load_trust(tmp_path / "authority"))
        world.until(lambda: "node-2" not in two.runtime.roster.names.values(), 2 * S)
