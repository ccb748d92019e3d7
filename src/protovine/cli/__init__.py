"""The command line. Heavy modules are imported only when a command runs, so that ``--help`` answers at once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import click

from protovine import __version__
from protovine.cli.age import age_group
from protovine.cli.cert import cert
from protovine.cli.common import Commands, echo
from protovine.cli.data import data
from protovine.cli.node import doctor, node, status
from protovine.cli.run import replay, run
from protovine.cli.state import state
from protovine.cli.swarm import swarm
from protovine.cli.sweep import report, sweep
from protovine.cli.warm import warm
from protovine.cli.watch import demo, watch
from protovine.errors import ConfigError, DataError

# Module -> the optional extra that installs it.
_EXTRAS = {
    **dict.fromkeys(("aiomqtt", "cryptography", "prometheus_client", "zenoh"), "net"),
    **dict.fromkeys(("starlette", "uvicorn"), "watch"),
}
# Modules that `protovine node` does not need; deploy/requirements-node.txt leaves out their distributions.
NOT_ON_A_NODE = (
    "jinja2", "joblib", "matplotlib", "narwhals", "networkx", "pandas", "rich", "river", "scipy", "sklearn",
    "threadpoolctl", "tomli_w",
)  # fmt: skip


# Of click 8.2 and later; earlier ones print the help themselves.
_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())


class _Group(Commands):
    """Reports user errors as one line on standard error with exit code 2; a bug keeps its traceback."""

    def make_context(self, *arguments: Any, **extra: Any) -> click.Context:
        with _usage_in_one_line():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _usage_in_one_line():
                return super().invoke(ctx)
        except (ConfigError, DataError) as error:
            echo(f"protovine: {error}", err=True)
            ctx.exit(2)
        except ImportError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in NOT_ON_A_NODE:
                about = f"{missing}, which is not in the slim install: pip install protovine"
            elif missing in _EXTRAS:
                about = f"{error.name}: pip install 'protovine[{_EXTRAS[missing]}]'"
            else:
                raise
            echo(f"protovine: this needs {about}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            echo("protovine: interrupted", err=True)
            ctx.exit(130)


@contextlib.contextmanager
def _usage_in_one_line() -> Iterator[None]:
    """Errors of options and arguments in one line, with the command whose help says more."""
    try:
        yield
    except _NO_ARGUMENTS:
        raise  # It shows the help.
    except click.ClickException as error:
        text = " ".join(error.format_message().split()).removesuffix(".")
        text = re.sub(r"\.? \(?Did you mean (.*\?)\)?$", r" (did you mean \1)", text)
        context = error.ctx if isinstance(error, click.UsageError) else None
        where = context.command_path if context is not None else "protovine"
        # Words of click begin with a capital, those of this project do not.
        said = text if text[1:2].isupper() else f"{text[:1].lower()}{text[1:]}"
        echo(f"protovine: {said} ({where} --help says more)", err=True)
        raise click.exceptions.Exit(2) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="protovine", message="%(prog)s %(version)s")
def main() -> None:
    """Serverless learning for swarms of devices.

    Every node learns online from its own stream and gossips prototypes to its peers; no server, no rounds.
    """


for _command in (
    run,
    demo,
    watch,
    sweep,
    report,
    swarm,
    node,
    doctor,
    status,
    warm,
    replay,
    data,
    age_group,
    cert,
    state,
):
    main.add_command(_command)
