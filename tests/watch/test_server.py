"""The server refuses what does not come from its own page, and says what is wrong."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from protovine.errors import ConfigError, DataError
from protovine.experiments.run.folder import trace_path
from protovine.records import Down, read_trace, write_trace
from protovine.watch.live import Live
from protovine.watch.recorded import Recorded
from protovine.watch.server import BODY_BYTES_MAX, STREAMS_MAX, Server, _Pictures
from tests.watch.conftest import experiment, serving


def ask(server: Server, path: str, method: str = "GET", body: str | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.getheaders())


@pytest.fixture(scope="module")
def server():
    with serving(Live(experiment(limit=20000), 1.0), token="secret") as made:
        yield made


def test_the_page_is_locked(server: Server) -> None:
    status, body, headers = ask(server, "/")
    assert 200 == status and "secret" not in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert ("nosniff", "no-referrer") == (headers["x-content-type-options"], headers["referrer-policy"])
    assert "access-control-allow-origin" not in headers and "server" not in headers
    for path in ("/watch.js", "/watch.css", "/uplot.js", "/uplot-licence.txt", "/icon.svg"):
        assert 200 == ask(server, path)[0]
    assert 304 == ask(server, "/", if_none_match=headers["etag"])[0]
    for path in ("/nothing", "/..%2fserver.py", "/%2e%2e/server.py", "/watch.js/x", "/__init__.py"):
        assert 404 == ask(server, path)[0]
    assert "secret" not in ask(server, "/api/about")[1]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil.example"]
)
def test_another_name_is_refused(server: Server, host: str) -> None:
    assert 421 == ask(server, "/api/about", Host=host)[0]
    assert 421 == ask(server, "/", Host=host)[0]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_another_origin_is_refused(server: Server, origin: str) -> None:
    own = {"x_protovine_token": "secret"}
    assert 403 == ask(server, "/api/act", "POST", '{"do": "pause"}', Origin=origin, **own)[0]
    assert 403 == ask(server, "/api/about", Origin=origin)[0]
    allowed = f"http://localhost:{server.port}"
    assert 200 == ask(server, "/api/about", Origin=allowed, Host=f"localhost:{server.port}")[0]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_only_link_to_the_page(server: Server, site: str) -> None:
    """What a page loads, such as an image, has no Origin, and a stream that it opens would be kept for it."""
    image = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
    for path in ("/api/about", "/watch.js", "/", "/api/stream?system=default"):
        assert 403 == ask(server, path, **image)[0]
    link = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert 200 == ask(server, "/", **link)[0]
    assert 403 == ask(server, "/", **{**link, "Sec_Fetch_Dest": "iframe"})[0]
    assert 403 == ask(server, "/api/about", **link)[0]
    for own in ("same-origin", "none"):
        assert 200 == ask(server, "/api/about", Sec_Fetch_Site=own)[0]


def test_commands_need_the_token_and_must_make_sense(server: Server) -> None:
    for token in ({}, {"x_protovine_token": "wrong"}, {"x_protovine_token": ""}, {"cookie": "token=secret"}):
        assert 403 == ask(server, "/api/act", "POST", '{"do": "pause"}', **token)[0]
    own = {"x_protovine_token": "secret"}
    source = server.source
    assert isinstance(source, Live)
    while source.lockstep is None:
        assert source.error is None
    for body, status, words in (
        ("", 400, "JSON"),
        ("[1]", 400, "JSON"),
        ("{" + " " * BODY_BYTES_MAX + "}", 413, "bytes"),
        ('{"do": "explode"}', 400, "unknown command 'explode'"),
        ('{"do": "kill"}', 400, "kill takes node"),
        ('{"do": "kill", "node": true}', 400, "whole number"),
        ('{"do": "kill", "node": 77}', 400, "0 to 4"),
        ('{"do": "speed", "speed": -1}', 400, "speed must be"),
        ('{"do": "speed", "speed": "fast"}', 400, "speed must be"),
        ('{"do": "drift", "change": "labels", "nodes": ["a"]}', 400, "whole numbers"),
        ('{"do": "retune", "share_probability": 2}', 400, "share_probability"),
        ('{"do": "retune", "fanout": "many"}', 400, "fanout"),
        ('{"do": "describe", "preset": "default"}', 400, "unknown command"),
    ):
        got, said, _ = ask(server, "/api/act", "POST", body, **own)
        assert (status, True) == (got, words in said), (body, got, said)
    assert [] == source.lockstep.by_hand
    assert 405 == ask(server, "/api/act", **own)[0]
    status, said, _ = ask(server, "/api/act", "POST", '{"do": "pause"}', **own)
    assert (200, "paused") == (status, json.loads(said)["state"])
    assert 200 == ask(server, "/api/act", "POST", '{"do": "go"}', **own)[0]


def test_what_is_not_there_is_said(server: Server) -> None:
    for path in ("/api/curves?system=nothing", "/api/frame?system=default&at=1"):
        assert 404 == ask(server, path)[0]
    for path in ("/api/inside?system=nothing&node=0", "/api/inside?system=default&node=99"):
        assert 400 == ask(server, path)[0]


def test_the_number_of_streams_is_bounded(server: Server) -> None:
    opened = []
    for _ in range(STREAMS_MAX):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/api/stream?system=default")
        assert b"retry" in connection.getresponse().readline()
        opened.append(connection)
    assert 503 == ask(server, "/api/stream?system=default")[0]
    for connection in opened:
        connection.close()


def test_pictures_are_kept_of_few_systems() -> None:
    class Source:
        def frame(self, system: str) -> dict[str, str]:
            return {"system": system}

    async def play() -> int:
        pictures = _Pictures(Source())  # type: ignore[arg-type]
        for number in range(1000):
            assert {"system": str(number)} == await pictures.of(str(number))
        return len(pictures._newest)

    assert asyncio.run(play()) <= 100


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_trace_of_another_run_is_said(recorded: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(recorded, tmp_path / "run")
    trace = trace_path(folder, "default", 0)
    header, records = read_trace(trace)
    write_trace(trace, header, [*records, Down(10**12, 99)])
    with serving(Recorded(folder)) as server:
        while "starting" == (state := json.loads(ask(server, "/api/about")[1])["status"])["state"]:
            pass
    assert ("failed", "IndexError: list index out of range") == (state["state"], state["error"])


def test_what_cannot_be_served_is_said_in_a_line(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the port is taken"):
        Server(server.source, port=server.port)
    with pytest.raises(ConfigError, match="one address of this machine"):
        Server(server.source, host="0.0.0.0")
    with pytest.raises(DataError, match="no run folder"):
        Recorded(tmp_path)


def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    root = Path(__file__).parents[2]
    (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path))
    names = zipfile.ZipFile(wheel).namelist()
    for file in (root / "src/protovine/watch/static").iterdir():
        assert f"protovine/watch/static/{file.name}" in names
