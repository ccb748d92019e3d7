"""A real browser, a real server, and pages that must neither complain nor reach beyond the server."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import protovine
from protovine.experiments.define.prepare import prepare
from protovine.watch.live import Live
from protovine.watch.server import Server
from tests.browser import browser as browser

# For conditions: far longer than anything takes on a busy machine.
PATIENCE_S = 60


class Watched:
    """A page with everything that it complained about, and every address that it asked."""

    def __init__(self, page, address: str) -> None:
        self.page, self.address = page, address
        self.complaints: list[str] = []
        self.expected: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE_S * 1000)
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def frame(self) -> dict:
        """What the page shows; waits while it has nothing to show."""
        end_s = time.monotonic() + PATIENCE_S
        while (found := self.page.evaluate("() => window.protovine.frame()")) is None:
            assert time.monotonic() < end_s, "the page shows nothing"
            self.page.wait_for_timeout(50)
        return found

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end_s, f"never came true: {what}"
            self.page.wait_for_timeout(50)

    def expect(self, complaint: str) -> None:
        """Waits until the browser complains of this, and lets it do so again, at any time."""
        self.wait(lambda: any(complaint in found for found in self.complaints), complaint)
        self.expected.append(complaint)

    def unexpected(self) -> list[str]:
        return [found for found in self.complaints if not any(complaint in found for complaint in self.expected)]

    def number(self, name: str) -> str:
        return self.page.locator(f"[data-number={name}]").inner_text()

    def ready(self) -> Watched:
        self.page.locator("[data-number=samples]").wait_for()
        return self


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Serves a source until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda source, **options: stack.enter_context(serving(source, **options))


@pytest.fixture
def live(serve) -> Callable[..., Server]:
    return lambda prepared, speed=4.0: serve(Live(prepared, speed))


@pytest.fixture
def open_page(browser, serve) -> Iterator[Callable[..., Watched]]:
    """Opens pages, which are closed before what they show ends."""
    contexts, pages = [], []

    def opened(link: str, **options) -> Watched:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
        contexts.append(context)
        watched = Watched(context.new_page(), link.partition("#")[0])
        pages.append(watched)
        watched.page.goto(link)
        return watched

    yield opened
    for context in contexts:
        context.close()
    for watched in pages:
        assert [] == watched.unexpected()
        assert [] == [url for url in watched.asked if not url.startswith((watched.address, "data:"))]


@contextlib.contextmanager
def serving(source, port: int | None = 0, token: str | None = None) -> Iterator[Server]:
    server = Server(source, port=port, token=token)
    thread = threading.Thread(target=server.run, name="test-server")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def experiment(limit: int = 3000, presets: tuple[str, ...] = ("default", "isolated", "centralised"), **sections):
    sections.setdefault("data", {"source": "rotation", "limit": limit})
    return prepare(protovine.Experiment(presets=presets, seeds=1, **sections))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Path:
    """The folder of a run in which a node stops."""
    folder = tmp_path_factory.mktemp("watch") / "run"
    faults = [{"kind": "crash", "node": 2, "at_s": 4.0}]
    presets = ("default", "isolated", "centralised")
    data = {"source": "rotation", "limit": 500}
    protovine.run(protovine.Experiment(presets=presets, data=data, seeds=1, faults=faults), out=folder)
    return folder
