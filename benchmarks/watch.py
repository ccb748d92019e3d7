"""What the live page costs: load time, update rate, and processor time of the server and of the browser.

``python -m benchmarks.watch`` prints a table for 5, 50 and 1,000 nodes. It needs Chromium and Playwright. A simulation
is watched at the speed of its own time, so the processor time of the server has that of the simulation in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 10
CASES = ((5, "full", 10.0), (50, "regular:8", 2.0), (1000, "regular:8", 0.1))
_SERVER = """
import sys
from protovine.experiments.define.config import Experiment
from protovine.experiments.define.prepare import prepare
from protovine.watch.live import Live
from protovine.watch.server import Server
nodes, topology, rate = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
rows = int(nodes * rate * 150)
experiment = Experiment(presets=["default"], data={"source": "rotation", "limit": rows}, seeds=1,
    swarm={"nodes": nodes, "topology": topology, "rate_hz": rate})
server = Server(Live(prepare(experiment), 1.0), port=0)
print(server.link, flush=True)
server.run()
"""
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: list[int]) -> float:
    """Processor time of processes so far, in seconds."""
    total = 0.0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def descendants(pid: int) -> list[int]:
    """A process and all that it started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def measure(nodes: int, topology: str, rate: float) -> dict[str, float]:
    """One case: load time in ms, updates per second, and processor time in percent of a core."""
    from playwright.sync_api import sync_playwright

    line = [sys.executable, "-c", _SERVER, str(nodes), topology, str(rate)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as driver:
        assert server.stdout is not None
        link = server.stdout.readline().strip()
        try:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 720})
            page.set_default_timeout(120_000)
            page.goto(link)
            page.locator("[data-number=samples]").wait_for()
            page.reload()
            page.locator("[data-number=samples]").wait_for()
            loaded_ms = page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd")
            drawn_ms = page.evaluate("() => performance.now()")
            page.evaluate(
                "() => { window.seen = 0; new MutationObserver(() => window.seen++)"
                ".observe(document.querySelector('#time'), {childList: true}); }"
            )
            time.sleep(3)
            start = page.evaluate("() => window.seen")
            inside = descendants(os.getpid())
            browsers = [pid for pid in inside if pid not in (server.pid, os.getpid())]
            before, before_browser = cpu_s([server.pid]), cpu_s(browsers)
            time.sleep(SECONDS)
            watched, used = cpu_s([server.pid]) - before, cpu_s(browsers) - before_browser
            updates = page.evaluate("() => window.seen") - start
            browser.close()
        finally:
            server.kill()
    return {
        "load [ms]": loaded_ms,
        "first picture [ms]": drawn_ms,
        "updates [1/s]": updates / SECONDS,
        "server with simulation [%]": 100 * watched / SECONDS,
        "browser [%]": 100 * used / SECONDS,
    }


if __name__ == "__main__":
    for number, (nodes, topology, rate) in enumerate(CASES):
        row = measure(nodes, topology, rate)
        if not number:
            print("| nodes |", " | ".join(row), "|")
            print("|---|" + "---|" * len(row))
        print(f"| {nodes} |", " | ".join(f"{value:,.1f}" for value in row.values()), "|", flush=True)
