"""A real swarm on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from protovine.cli.node import asker
from protovine.watch.swarm import Swarm
from tests.net.test_service import Processes, endpoint, nodes, prepare  # noqa: F401

pytest.importorskip("zenoh", reason="the extra `net` is not installed")


@pytest.mark.slow
def test_real_nodes_are_watched_and_one_dies(nodes: Processes, serve, open_page) -> None:  # noqa: F811
    folder: Path = nodes.folder
    prepare(folder, ["ann", "bob", "watch"])
    for name in ("bob", "ann"):
        nodes.start(name, f"{name}.toml")
    name, ask = asker((endpoint(folder, "ann"),), str(folder / "watch"), None, timeout_s=2.0)
    server = serve(Swarm(name, ask))
    watched = open_page(server.address)
    page = watched.page
    watched.wait(lambda: 2 == page.locator('#graph .node[data-state="up"]').count(), "both nodes are shown")
    watched.wait(lambda: 1 == page.locator("#graph .edge").count(), "they are linked")
    watched.wait(lambda: watched.frame()["totals"]["samples"] > 20, "they learn")
    words = [each.get_attribute("aria-label") for each in page.locator("#graph .node").all()]
    assert ["ann", "bob"] == sorted(each.partition(":")[0] for each in words)
    samples = watched.frame()["totals"]["samples"]
    assert "swarm barn" in page.locator("h1").inner_text()
    nodes.running["bob"].kill()
    dead = page.locator('#graph .node[data-state="down"]')
    dead.wait_for()
    assert dead.get_attribute("aria-label").startswith("bob: down")
    watched.wait(lambda: watched.frame()["totals"]["samples"] >= samples, "what is known of it stays")
