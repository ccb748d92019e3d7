"""Tasks that must end."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from protovine.net import tasks


async def _stubborn(times: int, log: list[str]) -> None:
    """Goes on after the first ``times`` cancellations."""
    for _ in range(times):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        log.append("went on")
    try:
        await asyncio.sleep(60)
    finally:
        log.append("cleaned up")


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_task_that_drops_cancellations_ends(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(tasks, "_AGAIN_S", 0.01)

    async def main() -> list[str]:
        log: list[str] = []
        task, failed = asyncio.create_task(_stubborn(times, log)), asyncio.get_running_loop().create_future()
        failed.set_exception(OSError())
        await asyncio.sleep(0)
        await tasks.cancel(task, failed)
        assert task.cancelled() and isinstance(failed.exception(), OSError)
        return log

    assert [*["went on"] * times, "cleaned up"] == asyncio.run(main())


def test_no_tasks_have_ended() -> None:
    asyncio.run(tasks.cancel())
