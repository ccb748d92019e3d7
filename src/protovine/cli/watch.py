"""`protovine watch` and `protovine demo`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from protovine.cli.common import NamedPath, echo
from protovine.cli.outcome import new_folder, show
from protovine.errors import ConfigError

if TYPE_CHECKING:
    from protovine.experiments.run.lockstep import Lockstep
    from protovine.experiments.run.result import Result
    from protovine.watch.server import Server, Startable


class Page(NamedTuple):
    """Where the page is served, and whether a browser opens it; None leaves that to the machine."""

    host: str = "127.0.0.1"
    port: int | None = None
    browser: bool | None = None


def with_page(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that opens the page; the command gets them as one `Page`."""

    @functools.wraps(command)
    def with_one(*values: Any, host: str, port: int | None, browser: bool | None, **named: Any) -> Any:
        return command(*values, page=Page(host, port, browser), **named)

    made: Callable[..., Any] = with_one
    for option in (
        click.option("--host", default=Page().host, show_default=True, help="Address of this machine to serve at."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=None,
            help="Port to serve at; 0 picks a free one. [default: 8800 if free]",
        ),
        click.option("--browser/--no-browser", default=None, help="Open a browser. [default: on a desktop]"),
    ):
        made = option(made)
    return made


def serve(source: Startable, page: Page, quiet: bool = False, listening: Callable[[], None] = lambda: None) -> Server:
    """Print the link, open a browser, and serve until Ctrl-C; ``listening`` is called when the address is taken."""
    import webbrowser

    from protovine.watch.server import Server

    server = Server(source, page.host, page.port)
    listening()
    echo(f"watch it at {server.link}", err=quiet)
    echo("Ctrl-C ends it", err=True)
    desktop = sys.stdout.isatty() and ("DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ)
    if page.browser or (page.browser is None and desktop):
        webbrowser.open(server.link)
    try:
        server.run()
    except KeyboardInterrupt:
        echo("", err=True)
    return server


@click.command()
@click.argument("run", required=False, type=NamedPath(), metavar="[RUN]")
@click.option("--seed", type=int, default=None, help="Which seed of a recorded run. [default: the first]")
@click.option("--swarm", "endpoints", multiple=True, metavar="ENDPOINT", help="A member of a running swarm to ask.")
@click.option("--certificates", type=NamedPath(), metavar="FOLDER", help="Folder that `protovine cert issue` made.")
@click.option("--plain", default=None, metavar="SWARM", help="No certificates: the name of the swarm.")
@click.option("--control", is_flag=True, help="With --swarm: change nodes, too; needs their token.")
@click.option("--token-env", default=None, metavar="NAME", help="Variable with it. [default: PROTOVINE_CONTROL_TOKEN]")
@click.option("--token-file", default=None, metavar="FILE", help="File with it, instead of a variable (mode 0600).")
@with_page
def watch(
    run: Path | None,
    seed: int | None,
    endpoints: tuple[str, ...],
    certificates: Path | None,
    plain: str | None,
    control: bool,
    token_env: str | None,
    token_file: str | None,
    page: Page,
) -> None:
    """Watch a recorded run, or a running swarm, in the browser.

    RUN is a folder that `protovine run` or `protovine swarm` made; the page has a slider for time. With --swarm
    tcp/127.0.0.1:7447 --plain barn, for example, real nodes are asked for their status once a second. They are not
    changed, unless --control is given with the token that their settings name ([control]); where the swarm has
    certificates, FOLDER must then be an operator's.
    """
    from protovine.watch.guard import is_loopback

    if (run is None) == (not endpoints):
        raise ConfigError("watch takes either a run folder or --swarm")
    if control and not endpoints:
        raise ConfigError("--control is for --swarm: a recorded run cannot be changed")
    if control and not is_loopback(page.host):
        raise ConfigError(
            f"--control needs a --host that only this machine reaches, such as 127.0.0.1, got {page.host!r}: "
            "the page has no TLS; from elsewhere use `ssh -L`"
        )
    if not control and (token_env is not None or token_file is not None):
        raise ConfigError("--token-env and --token-file are for --control")
    if token_env is not None and token_file is not None:
        raise ConfigError("--token-env and --token-file exclude each other")
    if run is not None:
        from protovine.watch.recorded import Recorded

        serve(Recorded(run, seed), page)
        return
    from protovine.cli.node import client_of
    from protovine.net.asking import ask_status
    from protovine.net.operate import control_key, operator_of
    from protovine.watch.swarm import Swarm

    name, dialled, denied = client_of(endpoints, certificates, plain)
    operator = None
    if control:
        operator = operator_of(name, dialled, control_key(token_env, token_file, name), 2.0, denied)
    serve(Swarm(name, lambda: ask_status(name, dialled, 2.0, denied), operator), page)


@click.command()
@click.option(
    "--speed",
    type=click.FloatRange(0, 1000),
    default=2.0,
    show_default=True,
    help="Virtual seconds per second; 0 is as fast as possible.",
)
@with_page
def demo(speed: float, page: Page) -> None:
    """Watch five nodes learn a boundary that turns, in the browser.

    Kill nodes, cut links, begin a drift, and see what happens. Nothing is written.
    """
    from protovine.experiments.define.prepare import prepare
    from protovine.watch.demo import demo_experiment
    from protovine.watch.live import Live

    serve(Live(prepare(demo_experiment()), speed), page)


def run_watched(tables: dict[str, Any], out: Path | None, as_json: bool, speed: float, page: Page) -> None:
    """Run an experiment while it is watched; its folder has what was done by hand."""
    from protovine.experiments.define.config import Experiment
    from protovine.experiments.define.prepare import prepare
    from protovine.experiments.report.pages import render_report
    from protovine.experiments.run.folder import RunFolder
    from protovine.watch.live import Live

    prepared = prepare(Experiment(**tables))
    if len(prepared.seeds) > 1:
        raise ConfigError(f"--watch shows one seed, got {len(prepared.seeds)}: use --seeds 1")
    folders: list[RunFolder] = []
    ended: list[Result] = []

    def create() -> None:
        path = out or new_folder(prepared.data[prepared.experiment.seed].name)
        folders.append(RunFolder.create(path, prepared))

    def finish(lockstep: Lockstep) -> None:
        (folder,) = folders
        again, result = lockstep.finish(folder.traces)
        folder.describe(again)
        result = folder.finish(result, render_report)
        ended.append(result)
        if not as_json:
            show(result, folder, as_json)
            echo("the page stays until Ctrl-C", err=True)

    live = Live(prepared, speed, finish)
    serve(live, page, as_json, create)
    if live.error:
        raise click.ClickException(live.error)
    if not ended:
        assert live.lockstep is not None
        finish(live.lockstep)
    elif as_json:
        show(ended[0], folders[0], as_json)
