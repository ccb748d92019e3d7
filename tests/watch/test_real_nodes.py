"""Real swarms on the page: watched, and changed by an operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from protovine.cli.node import client_of
from protovine.net.asking import ask_status
from protovine.net.operate import control_key, operator_of
from protovine.watch.swarm import READ_ONLY, Swarm
from tests.net.test_operate import controlled
from tests.net.test_service import LIMIT_S, Processes, endpoint, nodes, prepare  # noqa: F401

pytest.importorskip("zenoh", reason="the extra `net` is not installed")


def watched_swarm(folder: Path, who: str, token: Path | None = None) -> Swarm:
    name, dialled, denied = client_of((endpoint(folder, "ann"),), folder / who, None)
    operator = None if token is None else operator_of(name, dialled, control_key(None, token, name), 5.0)
    return Swarm(name, lambda: ask_status(name, dialled, 2.0, denied), operator)


@pytest.mark.slow
def test_real_nodes_are_watched_and_one_dies(nodes: Processes, serve, open_page) -> None:  # noqa: F811
    folder: Path = nodes.folder
    prepare(folder, ["ann", "bob", "watch"])
    for name in ("bob", "ann"):
        nodes.start(name, f"{name}.toml")
    server = serve(watched_swarm(folder, "watch"))
    watched = open_page(server.link)
    page = watched.page
    watched.wait(lambda: 2 == page.locator('#graph .node[data-state="up"]').count(), "both nodes are shown")
    watched.wait(lambda: 1 == page.locator("#graph .edge").count(), "they are linked")
    watched.wait(lambda: watched.frame()["totals"]["samples"] > 20, "they learn")
    words = [each.get_attribute("aria-label") for each in page.locator("#graph .node").all()]
    assert ["ann", "bob"] == sorted(each.partition(":")[0] for each in words)
    samples = watched.frame()["totals"]["samples"]
    assert "swarm barn" in page.locator("h1").inner_text()
    assert READ_ONLY == page.locator("#hands-note").inner_text()
    assert 0 == page.locator("#hands button:visible").count()
    nodes.running["bob"].kill()
    dead = page.locator('#graph .node[data-state="down"]')
    dead.wait_for()
    assert dead.get_attribute("aria-label").startswith("bob: down")
    watched.wait(lambda: watched.frame()["totals"]["samples"] >= samples, "what is known of it stays")


@pytest.mark.slow
def test_an_operator_changes_real_nodes_on_the_page(nodes: Processes, serve, open_page) -> None:  # noqa: F811
    folder = nodes.folder
    controlled(folder, ["ann", "bob", "cat"], rows=2000)
    for name in ("cat", "bob", "ann"):
        nodes.start(name, f"{name}.toml")
    server = serve(watched_swarm(folder, "kim", folder / "token"))
    watched = open_page(server.link)
    page, log = watched.page, open_page(server.link).page.locator("#log")
    names = ["ann", "bob", "cat"]
    # Places follow the order in which members first answered.
    watched.wait(lambda: names == sorted(page.locator("#node option").all_inner_texts()), "all nodes are shown")
    watched.wait(lambda: 3 == page.locator('#graph .node[data-state="up"]').count(), "all nodes answer")
    assert 0 == page.locator("#byzantine:visible, #drift-here:visible, #speed:visible, #play:visible").count()

    def control(name: str) -> dict:
        return watched.frame()["control"][page.locator("#node option").all_inner_texts().index(name)]

    page.select_option("#node", label="cat")
    assert "cat takes no commands: its settings have no [control]." == page.locator("#hands-note").inner_text()
    assert page.locator("#kill").is_disabled() and page.locator("#set").is_disabled()

    page.select_option("#node", label="ann")
    before = control("bob")
    page.fill("#share-probability", "0.125")
    page.click("#set")
    watched.wait(lambda: 0.125 == control("ann")["share_probability"], "ann shares less")
    assert before == control("bob") and before["share_probability"] != 0.125
    watched.wait(lambda: "0.125" == page.get_attribute("#share-probability", "placeholder"), "the page shows it")
    # Another page, of somebody who only looks on, sees it as well.
    log.get_by_text("ann set by hand: share_probability = 0.125").wait_for()

    page.fill("#fanout", "1")
    page.fill("#budget", "200")
    page.click("#set-everywhere")
    watched.wait(lambda: [1, 1] == [control(name)["fanout"] for name in ("ann", "bob")], "both are changed")
    assert [200, 200] == [control(name)["budget_bytes_per_s"] for name in ("ann", "bob")]

    page.click("#pause-sharing")
    page.locator('#graph .node[aria-label*="shares nothing by hand"]').wait_for()
    page.locator("#pause-sharing", has_text="Resume sharing").click()
    watched.wait(lambda: not control("ann")["paused"], "ann shares again")

    page.select_option("#other", label="bob")
    page.click("#cut")
    page.locator("#graph .edge.cut").wait_for(state="attached")
    page.locator("#cut", has_text="Restore link").click()
    watched.wait(lambda: 0 == page.locator("#graph .edge.cut").count(), "the link is there again")
    assert "" == page.locator("#hint").inner_text()

    # Values are checked again behind the page.
    page.fill("#share-probability", "7")
    page.locator("#retune").evaluate("form => { form.noValidate = true; form.requestSubmit(); }")
    page.locator("#hint", has_text="not a command").wait_for()
    watched.expect("400")

    page.select_option("#node", label="bob")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#kill")
    assert nodes.running["bob"].poll() is None
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#kill")
    page.locator('#graph .node[data-state="down"]').wait_for()
    assert 0 == nodes.running["bob"].wait(LIMIT_S), nodes.log("bob")
    page.locator("#hands-note", has_text="bob does not answer").wait_for()
    assert "operator kim: stop" in nodes.log("bob")

    # The address without the token only looks on.
    stranger = open_page(server.address)
    stranger.page.locator("#hint", has_text="Read only").wait_for()
    stranger.page.locator("#set-everywhere").click()
    stranger.page.locator("#hint", has_text="No value was changed").wait_for()
    stranger.page.fill("#fanout", "3")
    stranger.page.locator("#set-everywhere").click()
    stranger.page.locator("#hint", has_text="this needs the token of the link").wait_for()
    stranger.expect("403")
    assert "0123456789abcdef" not in page.content()
