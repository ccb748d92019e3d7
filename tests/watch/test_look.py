"""How the page looks and is reached: text is whole and has contrast, and every part takes keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from protovine.watch.recorded import Recorded
from tests.watch.conftest import experiment

# Notes all text on canvases, and whether it reaches beyond the edge.
SPY = """
window.written = [];
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, widest = Infinity) {
  const box = this.measureText(text);
  const part = Math.min(1, widest / box.width);
  const { a, e } = this.getTransform();
  const [left, right] = [-box.actualBoundingBoxLeft, box.actualBoundingBoxRight].map(at => a * (x + part * at) + e);
  window.written.push([String(text), left < 0 || right > this.canvas.width]);
  return write.call(this, text, x, y, widest);
};
"""
NO_SHARING = "These nodes do not share"


@pytest.mark.parametrize("width", [390, 1280])
def test_no_text_on_a_canvas_is_cut(live, open_page, width: int) -> None:
    server = live(experiment())
    watched = open_page(server.link, viewport={"width": width, "height": 720}).ready()
    page = watched.page
    page.add_init_script(SPY)
    page.reload()
    watched.ready()

    def written() -> list[str]:
        return [text for text, _ in page.evaluate("() => window.written")]

    page.select_option("#system", "isolated")
    watched.wait(lambda: any(NO_SHARING in text and "old" in text for text in written()), "why there are no ages")
    page.click("#tab-trust")
    watched.wait(lambda: f"{NO_SHARING}." in written(), "why there is no trust")
    assert [] == page.evaluate("() => window.written.filter(([, cut]) => cut)")


DRAW = """async end => {
  window.written = [];
  const [charts, about] = [await import("/charts.js"), await (await fetch("/api/about")).json()];
  const system = about.systems[0];
  const curves = await (await fetch(`/api/curves?system=${system.name}`)).json();
  charts.draw(curves, system, [system.name], window.protovine.frame(), end, []);
  await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  return window.written;
}"""


@pytest.mark.parametrize("width", [390, 1280])
def test_the_last_number_of_an_axis_is_whole_also_at_its_end(recorded: Path, serve, open_page, width: int) -> None:
    watched = open_page(serve(Recorded(recorded)).address, viewport={"width": width, "height": 720}).ready()
    watched.page.add_init_script(SPY)
    watched.page.reload()
    watched.ready()
    for end in (0.5, 10, 60, 100, 5000, 100_000):
        written = watched.page.evaluate(DRAW, end)
        assert f"{end} s" in [text for text, _ in written]
        assert [] == [text for text, cut in written if cut], end


RATIO = """() => {
  const parts = colour => colour.startsWith("rgb") ? colour.match(/\\d+/g).map(Number)
    : colour.match(colour.length < 5 ? /[0-9a-f]/g : /[0-9a-f]{2}/g)
      .map(each => parseInt(each.repeat(3 - each.length), 16));
  const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const light = colour => {
    const [r, g, b] = parts(colour).map(part => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const ratio = (a, b) => Math.max(light(a) / light(b), light(b) / light(a));
  return import("/format.js").then(({ scaleColour, textOn }) => {
    const scale = Array.from({ length: 1001 }, (_, i) => scaleColour(i / 1000));
    const grey = Array.from({ length: 256 }, (_, i) => "#" + i.toString(16).padStart(2, "0").repeat(3));
    return Math.min(...[...scale, ...grey].map(colour => ratio(colour, textOn(colour))));
  });
}"""
NODES = """() => [...document.querySelectorAll("#graph .node")].map(node =>
  [...node.querySelectorAll("circle:not(.ring), text")].map(each => each.getAttribute("fill")))"""


def test_text_on_nodes_has_contrast_at_every_accuracy(recorded: Path, serve, open_page) -> None:
    page = open_page(serve(Recorded(recorded)).address).ready().page
    assert page.evaluate(RATIO) >= 4.5
    for fill, *texts in page.evaluate(NODES):
        assert {page.evaluate("colour => import('/format.js').then(made => made.textOn(colour))", fill)} == set(texts)


def test_controls_are_large_enough_and_their_hints_whole(live, open_page) -> None:
    watched = open_page(live(experiment()).link).ready()
    page = watched.page
    for each in page.locator("button:visible, select:visible, input:visible").all():
        assert each.bounding_box()["height"] >= 24, each.get_attribute("id")
    room = """input => {
      const [pen, style] = [document.createElement("canvas").getContext("2d"), getComputedStyle(input)];
      pen.font = style.font;
      const spinner = 18;
      const room = input.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - spinner;
      return room - pen.measureText(input.placeholder).width;
    }"""
    assert "no limit" == page.get_attribute("#budget", "placeholder")
    assert page.locator("#budget").evaluate(room) >= 0
    watched.wait(lambda: "newest samples, shared" in page.locator("#map-legend").inner_text(), "rings are explained")
    assert "not shared" in page.locator("#map-legend").inner_text()


def test_one_node_is_one(live, open_page) -> None:
    server = live(experiment(presets=("isolated",), swarm={"nodes": 1}))
    page = open_page(server.link).ready().page
    assert page.locator("h1").inner_text().endswith("1 node")
    assert page.locator("#cut").is_hidden(), "there is no link"


def test_keys_choose_nodes_and_tabs(live, open_page) -> None:
    watched = open_page(live(experiment()).link).ready()
    page = watched.page
    page.locator("#state", has_text="live").wait_for()
    for number, key in ((3, "Space"), (1, "Enter")):
        page.locator("#graph .node").nth(number).focus()
        page.keyboard.press(key)
        assert str(number) == page.input_value("#node")
        assert "true" == page.locator("#graph .node").nth(number).get_attribute("aria-pressed")
    page.focus("#tab-age")
    for key, chosen in (
        ("ArrowRight", "trust"),
        ("ArrowRight", "age"),
        ("ArrowLeft", "trust"),
        ("Home", "age"),
        ("End", "trust"),
    ):
        page.keyboard.press(key)
        assert f"tab-{chosen}" == page.evaluate("() => document.activeElement.id")
        reached = page.locator('[role=tab][aria-selected=true][tabindex="0"]').all()
        assert [f"tab-{chosen}"] == [each.get_attribute("id") for each in reached]
        assert f"tab-{chosen}" == page.get_attribute("#pairs", "aria-labelledby")
    assert "space pauses" in page.locator("#keys").inner_text() and "←" not in page.locator("#keys").inner_text()
    assert "live" == page.locator("#state").inner_text(), "Space on a node does not pause"


def test_the_slider_says_the_time(recorded: Path, serve, open_page) -> None:
    watched = open_page(serve(Recorded(recorded)).address).ready()
    page = watched.page
    page.locator("#slider").fill("100")
    watched.wait(lambda: watched.frame()["t"] < 5, "the slider goes back")
    assert page.locator("#time").inner_text() == page.get_attribute("#slider", "aria-valuetext")
    assert "move in time" in page.locator("#keys").inner_text()


def test_a_link_leads_to_another_node(live, open_page) -> None:
    watched = open_page(live(experiment()).link).ready()
    page = watched.page
    offered = page.locator("#other option")
    for chosen in ("0", "3", "1", "4"):
        page.select_option("#node", chosen)
        assert [str(i) for i in range(5) if str(i) != chosen] == [each.get_attribute("value") for each in offered.all()]
        assert page.input_value("#other") != chosen
    page.select_option("#other", "2")
    page.select_option("#node", "0")
    assert "2" == page.input_value("#other"), "what was chosen stays"
    page.click("#cut")
    page.locator("#cut", has_text="Restore link").wait_for()
    page.select_option("#node", "2")
    page.locator("#cut", has_text="Cut link").wait_for()
    page.select_option("#other", "0")
    page.locator("#cut", has_text="Restore link").wait_for()


def test_keys_reach_every_node_of_a_mosaic(live, open_page) -> None:
    server = live(experiment(swarm={"nodes": 90, "topology": "regular:4"}, presets=("isolated",)), speed=0.5)
    page = open_page(server.link).ready().page
    mosaic = page.get_by_role("slider", name="chosen node of the swarm")
    page.keyboard.press("Tab")
    while not mosaic.evaluate("canvas => canvas === document.activeElement"):
        assert "hands" != page.evaluate("() => document.activeElement.closest('section')?.id"), "tab passes it by"
        page.keyboard.press("Tab")
    seen = []
    for key in ("ArrowLeft", "ArrowRight", "End", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "ArrowDown"):
        page.keyboard.press(key)
        now = mosaic.get_attribute("aria-valuenow")
        assert now == page.input_value("#node")
        assert mosaic.get_attribute("aria-valuetext").startswith(f"node {now}: up, accuracy")
        seen.append(int(now))
    row = seen[-1]
    assert [0, 1, 89, 89, 89 - row, 89, 0, row] == seen and row > 1
    assert "arrows choose a node" in page.locator("#keys").inner_text()
