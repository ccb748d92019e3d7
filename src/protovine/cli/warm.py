"""`protovine warm`."""

from __future__ import annotations

import os

import click

from protovine.cli.common import echo


@click.command(short_help="Compile kernels ahead, so that nodes start at once.")
@click.option("--preset", "presets", multiple=True, metavar="NAME", help="Repeat for several. [default: default]")
def warm(presets: tuple[str, ...]) -> None:
    """Compile the kernels of a preset ahead, as in an image or a package, so that nodes start at once.

    They are kept in the folder that NUMBA_CACHE_DIR names, by default beside the source. The cache holds for this kind
    of processor and these versions.
    """
    import time

    from protovine.jit import compilations
    from protovine.system import SystemSettings, resolve
    from protovine.system import warm as compile_kernels

    chosen = [resolve(name, {}, SystemSettings) for name in presets or ("default",)]
    count, began_s = 0, time.monotonic()

    def begun() -> None:
        nonlocal count
        count += 1

    with compilations(begun):
        compile_kernels(chosen)
    where = os.environ.get("NUMBA_CACHE_DIR", "the cache beside the source")
    if count:
        echo(f"compiled {count} functions in {time.monotonic() - began_s:.0f} s; the kernels are in {where}")
    else:
        echo(f"all kernels were in {where}")
