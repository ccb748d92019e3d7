"""Time `protovine --help` against an empty Python process, in turn; then the start and the memory of an idle node.

    python -m benchmarks.startup

The node has no peers and no source, and its kernels are in the cache. Size is that of the environment's packages.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from pathlib import Path

ROUNDS = 15
_READY_S_MAX = 300.0


def seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def processor_seconds(*arguments: str) -> float:
    """Processor time of a Python process, its own and the system's: other programs hardly change it."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return used.ru_utime + used.ru_stime


def main() -> None:
    rounds = [(seconds("-c", ""), seconds("-m", "protovine", "--help")) for _ in range(ROUNDS)]
    empty, shown = (statistics.median(each[i] for each in rounds) for i in (0, 1))
    ratio = statistics.median(b / a for a, b in rounds)
    print(f"protovine --help {shown:.3f} s, an empty process {empty:.3f} s, ratio {ratio:.1f}")
    start = statistics.median(processor_seconds("-c", "") for _ in range(3))
    for module in ("protovine", "protovine.net.service"):
        imported = statistics.median(processor_seconds("-c", f"import {module}") for _ in range(3))
        print(f"import of {module} {imported - start:.2f} s of a core")
    ready_s, cpu_s, rss_mb = idle_node()
    print(f"idle node: ready after {ready_s:.1f} s ({cpu_s:.1f} s of a core), {rss_mb:.0f} MB resident")
    files = (each for each in Path(sysconfig.get_path("purelib")).rglob("*") if each.is_file())
    print(f"installed {sum(each.stat().st_size for each in files) / 1e6:.0f} MB")


def idle_node() -> tuple[float, float, float]:
    """Seconds until a node is ready, its processor time until then, and its resident memory in MB."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        listen, metrics = (f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other))
    with tempfile.TemporaryDirectory() as folder:
        schema = Path(folder) / "schema.json"
        schema.write_text(json.dumps({"features": ["a", "b"], "classes": ["no", "yes"]}))
        words = ["node", "--plain", "barn/gate/0", "--schema", str(schema), "--state", "none"]
        began = time.perf_counter()
        node = subprocess.Popen(
            [sys.executable, "-m", "protovine", *words, "--listen", f"tcp/{listen}", "--metrics", metrics],
            stderr=subprocess.DEVNULL,
        )
        try:
            while not ready(metrics):
                assert node.poll() is None and time.perf_counter() - began < _READY_S_MAX, "the node did not start"
                time.sleep(0.05)
            ready_s = time.perf_counter() - began
            cpu = sum(map(int, Path(f"/proc/{node.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
            pages = int(Path(f"/proc/{node.pid}/statm").read_text().split()[1])
        finally:
            node.terminate()
            node.wait()
    return ready_s, cpu / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def ready(address: str) -> bool:
    """Whether a node's health page says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=2) as page:
            return bool(page.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    main()
