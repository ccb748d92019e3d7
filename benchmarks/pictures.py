"""Pictures of the live page for the README and docs/how-to/watch.md, made in a real browser.

``python -m benchmarks.pictures`` writes ``docs/figures/watch*.png`` and the animated ``docs/figures/watch.webp``. It
needs Chromium, Playwright and Pillow (which comes with matplotlib).
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

import protovine
from protovine.experiments.define.prepare import prepare
from protovine.net.asking import ask_status
from protovine.net.operate import TOKEN_ENV, operator_of
from protovine.net.security.commands import ControlKey
from protovine.net.transport import Endpoints
from protovine.watch.demo import demo_experiment
from protovine.watch.live import Live
from protovine.watch.recorded import Recorded
from protovine.watch.server import Server
from protovine.watch.swarm import Swarm

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
# The animation: its width, its pictures, and the time between two of them.
WIDTH, FRAMES, STEP_MS = 880, 44, 250
COLOURS = 256
PATIENCE_MS = 180_000


@contextlib.contextmanager
def serving(source: Any) -> Iterator[Server]:
    """Serves a source in a thread."""
    server = Server(source, port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


def shot(page: Any, name: str, width: int | None = None, **options: Any) -> None:
    """A small PNG of the page."""
    image = Image.open(io.BytesIO(page.screenshot(**options))).convert("RGB")
    if width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    image.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(
        FIGURES / name, optimize=True
    )


@contextlib.contextmanager
def opened(browser: Any, link: str, width: int = 1280, height: int = 720, **options: Any) -> Iterator[Any]:
    """A page that has its first picture."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(link)
    page.locator("[data-number=samples]").wait_for()
    yield page
    context.close()


def animation(page: Any) -> None:
    """Five nodes learn; one is killed and returns, and a drift begins."""
    frames = []
    acts = {12: "#kill", 24: "#kill", 30: "#drift-everywhere"}
    page.select_option("#speed", "2")
    page.select_option("#node", "2")
    page.select_option("#drift", "relation")
    for number in range(FRAMES):
        if number in acts:
            page.click(acts[number])
        frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        page.wait_for_timeout(STEP_MS)
    size = WIDTH, round(frames[0].height * WIDTH / frames[0].width)
    small = [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
    durations = [STEP_MS] * (len(small) - 1) + [2000]
    small[0].save(
        FIGURES / "watch.webp",
        save_all=True,
        append_images=small[1:],
        duration=durations,
        loop=3,  # Then it stops: what moves for ever disturbs readers.
        quality=55,
        method=4,
        minimize_size=True,
    )


TOKEN = "0123456789abcdef" * 4
NODE = """schema = "schema.json"
[node]
state = "none"
[network]
plain = true
swarm = "barn"
name = "{name}"
id = {id}
listen = ["tcp/127.0.0.1:{port}"]
connect = {peers}
[gossip]
share_probability = 0.5
[exchange]
budget_bytes_per_s = 600
[control]
token_env = "PROTOVINE_CONTROL_TOKEN"
[source]
kind = "csv"
path = "rows.csv"
rate_hz = 10
loops = 0
"""


@contextlib.contextmanager
def real_swarm(folder: Path, names: list[str]) -> Iterator[Swarm]:
    """Processes over loopback that take commands."""
    data = protovine.load("rotation", rows=5000)
    (folder / "schema.json").write_text(
        json.dumps({"features": data.features, "classes": list(map(str, data.classes))})
    )
    with open(folder / "rows.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*data.features, "class"])
        out.writerows([*x, data.classes[y]] for x, y in zip(data.x, data.y, strict=True))
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in names]
    endpoints = [f"tcp/127.0.0.1:{port}" for port in ports]
    running = []
    try:
        for id, name in enumerate(names):
            text = NODE.format(name=name, id=id + 1, port=ports[id], peers=json.dumps(endpoints[:id]))
            (folder / f"{name}.toml").write_text(text)
            line = [sys.executable, "-m", "protovine", "node", f"{name}.toml"]
            environment = {**os.environ, TOKEN_ENV: TOKEN}
            running.append(subprocess.Popen(line, cwd=folder, env=environment, stderr=subprocess.DEVNULL))
        at = Endpoints((), (endpoints[0],), "client")
        yield Swarm("barn", lambda: ask_status("barn", at), operator_of("barn", at, ControlKey(TOKEN, "barn"), 5.0))
    finally:
        for process in running:
            process.terminate()
            process.wait()


def control(browser: Any, scheme: str, name: str) -> None:
    """Real nodes while an operator changes them."""
    names = ["gate-1", "gate-2", "hilltop", "river", "shed"]
    with (
        tempfile.TemporaryDirectory() as folder,
        real_swarm(Path(folder), names) as swarm,
        serving(swarm) as server,
        opened(browser, server.link, color_scheme=scheme) as page,
    ):
        page.locator('#graph .node[data-state="up"]').nth(len(names) - 1).wait_for()
        page.wait_for_timeout(20_000)
        page.select_option("#node", label="hilltop")
        page.click("#pause-sharing")
        page.locator('#graph .node[aria-label*="shares nothing by hand"]').wait_for()
        page.select_option("#node", label="gate-2")
        page.select_option("#other", label="river")
        page.click("#cut")
        page.locator("#graph .edge.cut").wait_for(state="attached")
        page.select_option("#node", label="shed")
        page.once("dialog", lambda dialog: dialog.accept())
        page.click("#kill")
        page.locator('#graph .node[data-state="down"]').wait_for()
        page.select_option("#node", label="gate-1")
        page.fill("#share-probability", "0.1")
        page.click("#set")
        page.locator("#log", has_text="share_probability = 0.1").wait_for()
        page.wait_for_timeout(5000)
        shot(page, name, width=960)


def main() -> None:
    """Make all pictures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with serving(Live(prepare(demo_experiment()), 2.0)) as server, opened(browser, server.link) as page:
            animation(page)
            page.select_option("#node", "4")
            page.click("#byzantine")
            page.select_option("#node", "0")
            page.select_option("#other", "3")
            page.click("#cut")
            page.select_option("#node", "2")
            page.click("#kill")
            page.locator("#graph .edge.cut").first.wait_for()
            page.select_option("#node", "0")
            page.locator("#map-note", has_text="of node 0").wait_for()
            page.wait_for_timeout(3000)
            shot(page, "watch-live.png", width=960)
        with tempfile.TemporaryDirectory() as folder:
            experiment = protovine.Experiment(
                presets=["default", "isolated", "centralised"],
                data={"source": "rotation", "limit": 3000},
                faults=[{"kind": "crash", "node": 2, "at_s": 20.0, "restart_s": 40.0}],
                seeds=1,
            )
            protovine.run(experiment, out=Path(folder) / "run")
            with serving(Recorded(Path(folder) / "run")) as server:
                with opened(browser, server.address, color_scheme="dark") as page:
                    page.locator("#map-note", has_text="of node").wait_for()
                    page.locator("#slider").fill("170")
                    page.click("#tab-trust")
                    page.wait_for_timeout(2500)
                    shot(page, "watch-dark.png", width=960)
                with opened(browser, server.address, 390, 844, device_scale_factor=1) as page:
                    page.locator("#map-note", has_text="of node").wait_for()
                    shot(page, "watch-phone.png", full_page=True)
        many = protovine.Experiment(
            presets=["default"],
            data={"source": "rotation", "limit": 20_000},
            swarm={"nodes": 1000, "topology": "regular:8", "rate_hz": 0.5},
            faults=[{"kind": "crash", "node": node, "at_s": 2.0} for node in range(30, 60)],
            seeds=1,
        )
        with serving(Live(prepare(many), 0.0)) as server, opened(browser, server.link) as page:
            page.locator("#log .down").first.wait_for()
            page.wait_for_timeout(12_000)
            shot(page, "watch-thousand.png", width=960)
        control(browser, "light", "watch-control.png")
        browser.close()


if __name__ == "__main__":
    main()
