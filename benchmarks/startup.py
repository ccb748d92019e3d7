"""Time `protovine --help` against an empty Python process, in turn.

python -m benchmarks.startup
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15


def seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    rounds = [(seconds("-c", ""), seconds("-m", "protovine", "--help")) for _ in range(ROUNDS)]
    empty, shown = (statistics.median(each[i] for each in rounds) for i in (0, 1))
    ratio = statistics.median(b / a for a, b in rounds)
    print(f"protovine --help {shown:.3f} s, an empty process {empty:.3f} s, ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
