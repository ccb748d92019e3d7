"""The page in a real browser: what it shows is what happens, and what is done on it is done."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import protovine
from protovine.watch.live import Live
from protovine.watch.recorded import Recorded
from tests.watch.conftest import experiment, serving

HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_swarm_learns_before_your_eyes(live, open_page) -> None:
    server = live(experiment())
    watched = open_page(server.link).ready()
    page = watched.page
    assert 5 == page.locator("#graph .node").count()
    assert 10 == page.locator("#graph .edge").count()
    assert "token" not in page.url, "the link can be copied without the token"
    before = page.evaluate("() => window.protovine.points()")
    watched.wait(lambda: page.evaluate("() => window.protovine.points()") > before + 3, "the curves move")
    watched.wait(lambda: page.locator("#graph .pulse").count() > 0, "shares are seen on their way")
    assert {"default", "isolated", "centralised"} <= set(page.locator("#accuracy-legend").inner_text().split())
    watched.wait(lambda: "surprisal" in page.locator("#map-legend").inner_text(), "a sample is explained")
    page.select_option("#system", "isolated")
    watched.wait(lambda: "no node sends anything" in page.locator("#message").inner_text(), "another system is shown")


def test_a_killed_node_turns_grey_and_the_others_go_on(live, open_page) -> None:
    server = live(experiment())
    watched = open_page(server.link).ready()
    page = watched.page
    page.locator("#graph .node").nth(3).click()
    page.click("#kill")
    dead = page.locator('#graph .node[data-state="down"]')
    dead.wait_for()
    assert "3" == dead.get_attribute("data-node")
    assert "0.45" == dead.locator("circle").first.get_attribute("fill-opacity")
    samples = watched.frame()["nodes"]["samples"]
    watched.wait(lambda: watched.frame()["nodes"]["samples"][0] > samples[0] + 5, "the others go on")
    assert samples[3] == watched.frame()["nodes"]["samples"][3]
    assert "killed by hand" in page.locator("#log").inner_text()
    page.locator("#kill", has_text="Restart").click()
    watched.wait(lambda: watched.frame()["nodes"]["samples"][3] > samples[3], "it learns again")
    page.locator("#graph .node").nth(1).focus()
    page.keyboard.press("Enter")
    page.click("#byzantine")
    page.locator('#graph .node[data-state="byzantine"]').wait_for()
    page.select_option("#other", "2")
    page.click("#cut")
    page.locator("#graph .edge.cut").first.wait_for()
    page.locator("#cut", has_text="Restore link").click()
    page.locator("#drift-everywhere").click()
    page.fill("#budget", "50")
    page.click("#retune button")
    watched.wait(lambda: "budget_bytes_per_s = 50" in page.locator("#log").inner_text(), "settings changed")
    page.fill("#fanout", "0")
    page.locator("#retune").evaluate("form => { form.noValidate = true; form.requestSubmit(); }")
    watched.wait(lambda: "fanout" in page.locator("#hint").inner_text(), "what is wrong is said")
    watched.expect("400")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("Space")
    page.locator("#state", has_text="paused").wait_for()
    frozen = watched.frame()["t"]
    page.locator("#play", has_text="Go").click()
    watched.wait(lambda: watched.frame()["t"] > frozen, "it goes on")


@pytest.mark.parametrize("preset", ["default", "centralised"])
def test_the_slider_reaches_the_numbers_of_the_result(recorded: Path, serve, open_page, preset: str) -> None:
    result = json.loads((recorded / "result.json").read_text())
    (run,) = [run for run in result["runs"] if run["preset"] == preset]
    server = serve(Recorded(recorded))
    watched = open_page(server.address).ready()
    page = watched.page
    page.select_option("#system", preset)
    page.locator("#message", has_text=f"{preset}: ").wait_for()
    page.locator("#slider").fill("0")
    watched.wait(lambda: watched.frame()["t"] < 1.0, "the slider goes back")
    page.locator("#slider").fill("299")
    watched.wait(lambda: watched.frame()["t"] == round(run["virtual_s"], 3), "the slider reaches the end")
    totals = watched.frame()["totals"]
    for name in ("f1", "accuracy", "bytes_per_node_per_s", "aoi_mean_s"):
        assert totals[name] == (None if run[name] is None else pytest.approx(run[name], rel=1e-9)), name
    assert f"{run['accuracy']:.3f}" == watched.number("accuracy")
    if preset == "default":
        assert 1 == page.locator('#graph .node[data-state="down"]').count()
        watched.wait(lambda: "of node 0" in page.locator("#map-note").inner_text(), "the run is computed again")
        page.locator("#slider").fill("50")
        watched.wait(lambda: 0 == page.locator('#graph .node[data-state="down"]').count(), "before it stopped")
    page.locator("#play").click()
    watched.wait(lambda: watched.frame()["t"] > 0.5 * run["virtual_s"], "it plays")


def test_a_slider_that_moves_while_curves_are_on_their_way_stays_where_it_is(recorded: Path, serve, open_page) -> None:
    watched = open_page(serve(Recorded(recorded)).address).ready()
    page = watched.page
    held = []
    page.route("**/api/curves*", lambda route: held.append(route))
    for name in ("isolated", "centralised"):
        page.select_option("#system", name)
    page.locator("#slider").fill("20")
    watched.wait(lambda: len(held) == 2, "the curves are asked for")
    early = page.evaluate("() => document.querySelector('#time').textContent")
    for route in reversed(held):  # The answer about the system that is no longer shown comes last.
        with page.expect_response("**/api/curves*"):
            route.continue_()
    watched.wait(lambda: page.locator("#time").inner_text() != early, "it is drawn")
    page.locator("#message", has_text="centralised: ").wait_for()
    assert "20" == page.locator("#slider").input_value()
    at_20 = watched.frame()
    page.select_option("#system", "default")
    watched.wait(lambda: len(held) == 3, "the curves are asked for")
    held[2].continue_()
    page.locator("#message", has_text="default: ").wait_for()
    assert "20" == page.locator("#slider").input_value(), "another system is shown at the same time"
    watched.wait(lambda: watched.frame()["nodes"] != at_20["nodes"], "it is another system")
    assert at_20["t"] == watched.frame()["t"]


def test_the_page_connects_again_after_a_restart(open_page, serve) -> None:
    with serving(Live(experiment(), 4.0), token="first") as server:
        watched = open_page(server.link).ready()
        port = server.port
    watched.page.locator('#state[data-state="reconnecting"]').wait_for()
    watched.expect("ERR_CONNECTION_REFUSED")
    serve(Live(experiment(limit=2000), 4.0), port=port, token="second")
    watched.page.locator('#state[data-state="running"]').wait_for()
    watched.wait(
        lambda: (
            35
            < watched.page.evaluate("() => parseFloat(document.querySelector('#time').textContent.split(' of ')[1])")
            < 45
        ),
        "the new run is shown",
    )
    watched.page.click("#kill")
    watched.page.locator("#hint", has_text="token").wait_for()
    watched.expect("403")


def test_hostile_names_and_labels_are_text(open_page, live, tmp_path: Path) -> None:
    file = tmp_path / "hostile.csv"
    rows = "".join(f"{i % 7},{i % 5},{(HOSTILE, 'b')[i % 2]}\n" for i in range(400))
    file.write_text(f"{HOSTILE},y,label\n{rows}")
    server = live(experiment(data={"source": str(file)}, presets=("default",)))
    watched = open_page(server.link).ready()
    page = watched.page
    watched.wait(lambda: "<img src=x" in page.locator("#map-legend").inner_text(), "the label is shown as it is")
    watched.wait(lambda: HOSTILE in page.locator("#map-note").inner_text(), "the feature is shown as it is")
    assert 0 == page.locator("img").count()


def test_a_thousand_nodes_are_shown_as_a_mosaic(open_page, live) -> None:
    data = {"source": "rotation", "limit": 3000}
    swarm = {"nodes": 1000, "topology": "regular:4"}
    server = live(experiment(data=data, swarm=swarm, presets=("isolated",)), speed=0.5)
    watched = open_page(server.link).ready()
    assert 0 == watched.page.locator("#graph .node").count()
    box = watched.page.locator("#mosaic").bounding_box()
    watched.page.mouse.move(box["x"] + 5, box["y"] + 5)
    watched.page.locator("#tip", has_text="node 0").wait_for()
    assert len(watched.frame()["age"]["table"]) == 40


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_nothing_lies_beyond_the_edge(recorded: Path, serve, open_page, width: int, scheme: str) -> None:
    server = serve(Recorded(recorded))
    watched = open_page(server.address, viewport={"width": width, "height": 720}, color_scheme=scheme).ready()
    assert watched.page.evaluate("() => document.documentElement.scrollWidth") <= width
    boxes = watched.page.locator(".panel").all()
    assert 6 == len(boxes)
    for box in boxes:
        found = box.bounding_box()
        assert found["width"] > 200 and found["height"] > 150


def test_nobody_waits_for_the_page(recorded: Path, serve, open_page) -> None:
    server = serve(Recorded(recorded))
    watched = open_page(server.address).ready()
    watched.page.reload()
    watched.ready()
    loaded_ms = watched.page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < loaded_ms < 5000  # Under a second on a machine with nothing else to do.


PRESETS = ("default", "isolated", "centralised", "paper-base", "default-gain", "gossip-bayes")


@pytest.fixture(scope="session")
def compared(tmp_path_factory) -> Path:
    """The folder of a run of six systems that get a budget."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    data = {"source": "rotation", "limit": 200}
    faults = [{"kind": "retune", "at_s": 2.0, "budget_bytes_per_s": 77}]
    protovine.run(protovine.Experiment(presets=PRESETS, data=data, seeds=1, faults=faults), out=folder)
    return folder


LEGEND = """id => [...document.querySelectorAll(`#${id}-legend .key`)].map(key => {
  const sign = key.querySelector("svg > *");
  return [key.querySelector("span").textContent, sign.getAttribute("stroke"), sign.getAttribute("stroke-dasharray"),
    key.querySelector("b")?.textContent];
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_system_keeps_its_colour_and_dash(compared: Path, serve, open_page, scheme: str) -> None:
    page = open_page(serve(Recorded(compared)).address, color_scheme=scheme).ready().page
    seen: dict[str, tuple[str, str]] = {}
    for preset in (*PRESETS, PRESETS[0]):
        page.select_option("#system", preset)
        page.locator("#message", has_text=f"{preset}: ").wait_for()
        for panel, lines in zip(("accuracy", "bytes"), page.evaluate("() => window.protovine.lines()"), strict=True):
            drawn = {each["label"].replace("_", " "): (each["colour"], each["dash"]) for each in lines if each["label"]}
            legend = {name: (colour, dash) for name, colour, dash, _ in page.evaluate(LEGEND, panel)}
            shared = set(drawn) & set(legend)
            assert {name: drawn[name] for name in shared} == {name: legend[name] for name in shared}
            assert len(drawn) == len(set(drawn.values())) == len(shared)
            for name in set(PRESETS) & shared:
                assert drawn[name] == seen.setdefault(name, drawn[name]), f"{name} when {preset} is chosen"
    assert set(PRESETS) == set(seen)
    page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    wait = "colour => window.protovine.lines()[0].every(each => each.label !== 'default' || each.colour !== colour)"
    page.wait_for_function(wait, arg=seen["default"][0])


def test_the_budget_of_a_recorded_run_is_that_of_its_time(compared: Path, serve, open_page) -> None:
    page = open_page(serve(Recorded(compared)).address).ready().page
    legend = page.locator("#bytes-legend")
    page.locator("#bytes-legend .key", has_text="budget77 B/s").wait_for()
    page.locator("#slider").fill("10")
    legend.get_by_text("no budget").wait_for()
    page.select_option("#system", "paper-base")
    page.locator("#slider").fill("299")
    page.locator("#message", has_text="paper-base: ").wait_for()
    assert 1 == legend.get_by_text("no budget").count(), "only a log has a budget"


def shown_values(page) -> tuple[dict[str, str], dict[str, str]]:
    """Accuracies and traffic by the headline, and by the legends; read at one moment."""
    words, *legends = page.evaluate(
        f"() => [document.querySelector('#message').textContent, ...['accuracy', 'bytes'].map({LEGEND})]"
    )
    headline = dict(re.findall(r"([\w-]+):? ([\d.]+ %)(?: of the|[,)])", words))
    headline["all"] = re.search(r"each node sends (.*)\.$", words)[1]
    legend = {name: value for made in legends for name, _, _, value in made}
    return headline, {name: legend[name] for name in headline}


def test_headline_and_legends_have_one_value_of_one_moment(compared: Path, live, serve, open_page) -> None:
    page = open_page(serve(Recorded(compared)).address).ready().page
    for preset in ("default", "paper-base"):
        page.select_option("#system", preset)
        page.locator("#message", has_text=f"{preset}: ").wait_for()
        headline, legend = shown_values(page)
        assert {*PRESETS, "all"} == set(headline) and headline == legend
    # Far longer than it is watched: curves have a point every 13 s, and everything else moves in between.
    watched = open_page(live(experiment(limit=20_000)).link).ready()
    for _ in range(20):
        headline, legend = shown_values(watched.page)
        assert headline == legend
        before = watched.frame()["t"]
        watched.wait(lambda before=before: watched.frame()["t"] > before, "time goes on")


def test_a_budget_set_by_hand_is_shown_until_it_is_lifted(live, open_page) -> None:
    server = live(experiment(presets=("default", "paper-base", "isolated")))
    watched = open_page(server.link).ready()
    page = watched.page
    legend, log = page.locator("#bytes-legend"), page.locator("#log")
    legend.get_by_text("no budget").wait_for()
    assert ("4", "") == (page.input_value("#fanout"), page.input_value("#budget"))
    page.click("#set")
    page.locator("#hint", has_text="No value was changed").wait_for()
    page.fill("#fanout", "99999")
    page.fill("#budget", "5")
    page.click("#set")
    log.get_by_text("set by hand: fanout = 99999 (all peers: at most 4), budget_bytes_per_s = 5").wait_for()
    page.locator("#bytes-legend .key", has_text="budget5 B/s").wait_for()
    assert "" == page.locator("#hint").inner_text()
    for name, fields in (
        ("paper-base", ["99999", "0.1", ""]),
        ("isolated", ["", "", ""]),
        ("default", ["99999", "1", "5"]),
    ):
        page.select_option("#system", name)
        page.locator("#message", has_text=f"{name}: ").wait_for()
        assert fields == [page.input_value(field) for field in ("#fanout", "#share-probability", "#budget")]
        assert (name == "default") == (0 == legend.get_by_text("no budget").count())
    page.reload()
    watched.ready()
    assert "5" == page.input_value("#budget")
    onlooker = open_page(server.address).ready()
    page.fill("#budget", "")
    page.click("#set")
    log.get_by_text("set by hand: no budget").wait_for()
    for each in (page, onlooker.page):
        each.locator("#bytes-legend").get_by_text("no budget").wait_for()
        assert "" == each.input_value("#budget")
