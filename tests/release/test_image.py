"""The image of a node: its files are there, and its steps work without an engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from protovine.net import create_authority, issue
from protovine.net.backup import read_state
from tests.release.roots import Container, Root, build, reason_not_to
from tests.release.scripts import ROOT, script
from tests.release.test_slim import LIMIT_S, listening

FILE = ROOT / "deploy" / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Name and arguments, with lines that go on joined."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line]


def arguments_of(name: str) -> list[str]:
    return [arguments for each, arguments in instructions() if each == name]


def environment() -> dict[str, str]:
    return dict(each.split("=", 1) for arguments in arguments_of("ENV") for each in shlex.split(arguments))


def test_all_instructions_are_known_and_their_shell_commands_are_shell() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions()} == known
    for command in arguments_of("RUN"):
        subprocess.run(["bash", "-n", "-c", command], check=True)
    assert json.loads(arguments_of("ENTRYPOINT")[0]) == ["protovine"]
    assert arguments_of("USER") == ["10001"], "not root"
    assert f"--uid {arguments_of('USER')[0]}" in " ".join(arguments_of("RUN"))


def test_every_file_that_is_copied_is_there_and_reaches_the_engine() -> None:
    patterns = (ROOT / ".dockerignore").read_text().split()
    for arguments in arguments_of("COPY"):
        if arguments.startswith("--from="):
            continue
        for name in arguments.split()[:-1]:
            assert (ROOT / name).exists(), name
            kept = True
            for pattern in patterns:
                if fnmatch.fnmatch(name, pattern.removeprefix("!").removeprefix("**/")):
                    kept = pattern.startswith("!")
            assert kept, f".dockerignore leaves out {name}"
    assert "dockerfile: deploy/Containerfile" in (ROOT / "deploy" / "compose.yaml").read_text()


def engines(folder: Path, *names: str) -> dict[str, str]:
    """An environment with only these engines, which do nothing, and what a script needs."""
    for name in ("bash", "dirname", "sed", "mkdir", "env"):
        path = shutil.which(name)
        assert path is not None
        (folder / name).symlink_to(path)
    for name in names:
        (folder / name).write_text("#!/usr/bin/env bash\nexit 0\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder)}


@pytest.mark.parametrize("engine", ["buildah", "podman", "docker"])
def test_the_image_is_built_for_both_processors_with_any_engine(tmp_path: Path, engine: str) -> None:
    for options, expected in (
        ([], "linux/amd64,linux/arm64"),
        (["--platform", "linux/arm64", "--tag", "host/protovine:1", "--push"], "linux/arm64"),
    ):
        home = tmp_path / str(len(options))
        home.mkdir()
        done = subprocess.run(
            [ROOT / "deploy" / "build-image", "--dry-run", *options],
            env=engines(home, engine),
            capture_output=True,
            text=True,
            check=True,
        )
        first = done.stdout.splitlines()[0]
        assert first.startswith(engine) and f"--platform {expected}" in first and "--file deploy/Containerfile" in first
        assert ("--push" in options) == ("push" in done.stdout)
        assert f"protovine:{script('try-release').version_of(ROOT)}" in first or "host/protovine:1" in first


def test_without_an_engine_building_says_which_are_possible(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "deploy" / "build-image"], env=engines(tmp_path), capture_output=True, text=True, check=False
    )
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr == "build-image: this needs buildah, podman, or docker with buildx; none is on PATH\n"


@pytest.mark.slow
@pytest.mark.skipif("PROTOVINE_RELEASE" not in os.environ, reason="installs for ten minutes; set PROTOVINE_RELEASE=1")
@pytest.mark.skipif(not reason_not_to(), reason="the image can be built in a root of its own, which shows more")
def test_the_steps_of_the_image_make_a_node_that_is_healthy(tmp_path: Path) -> None:
    pytest.importorskip("zenoh", reason="the extra `net` is not installed")
    home, source, state = tmp_path / "opt", tmp_path / "src", tmp_path / "state"
    source.mkdir()
    state.mkdir()
    here = {"/opt/protovine": str(home), "/var/lib/protovine": str(state)}

    def mapped(text: str) -> str:
        for path, place in here.items():
            text = text.replace(path, place)
        return text.replace("python -m", f"{sys.executable} -m")

    given = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PROTOVINE_DATA")}
    image = {key: mapped(value) for key, value in environment().items()}
    image["PATH"] = f"{home / 'bin'}:{os.environ['PATH']}"
    stage = 0
    for name, arguments in instructions():
        if name == "FROM":
            stage += 1
        elif name == "COPY" and not arguments.startswith("--from="):
            *files, to = arguments.split()
            for each in files:
                if (ROOT / each).is_dir():
                    shutil.copytree(ROOT / each, source / to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / each, source / to)
        elif name == "RUN" and "useradd" not in arguments:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", mapped(arguments)],
                cwd=source,
                env=given if stage == 1 else given | image,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
            if stage == 1 and re.search(r"Could not find a version|connection", done.stderr):
                pytest.skip("the package index cannot be reached")
            assert 0 == done.returncode, done.stderr
    listed = subprocess.run([home / "bin" / "python", "-c", "import pandas"], capture_output=True, check=False)
    assert listed.returncode, "the image is slim"
    (tmp_path / "schema.json").write_text(json.dumps({"features": ["a"], "classes": ["no", "yes"]}))
    address = listening().removeprefix("tcp/")
    words = ["node", "--plain", "barn/gate/0", "--schema", "schema.json", "--listen", listening()]
    node = subprocess.Popen(
        ["protovine", *words, "--state", str(state), "--metrics", address],
        cwd=tmp_path,
        env=given | image,
        stderr=subprocess.PIPE,
        text=True,
    )
    (check,) = arguments_of("HEALTHCHECK")
    probe = json.loads(check[check.index("[") :].replace("127.0.0.1:9100", address))
    deadline = time.monotonic() + LIMIT_S
    try:
        while subprocess.run(probe, env=given | image, capture_output=True, check=False).returncode:
            assert node.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
        # Healthy from the first second; ready once the kernels are.
        while subprocess.run(
            [*probe[:2], probe[2].replace("healthz", "readyz")], capture_output=True, check=False
        ).returncode:
            assert node.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        node.terminate()
        written = node.communicate(timeout=LIMIT_S)[1]
    assert "compiling kernels" not in written, "the kernels of the image hold"
    assert 0 == node.returncode


@pytest.mark.slow
@pytest.mark.skipif("PROTOVINE_RELEASE" not in os.environ, reason="installs for ten minutes; set PROTOVINE_RELEASE=1")
@pytest.mark.skipif(bool(reason_not_to()), reason=reason_not_to())
def test_the_image_built_in_a_root_of_its_own_runs_a_node_as_compose_does() -> None:
    """Every instruction as it stands; then node-0 of compose.yaml: its user, its file system, its powers, its ports."""
    with tempfile.TemporaryDirectory(prefix="protovine-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Another user is to reach what is in it.
        try:
            root = build(instructions(), folder)
        except AssertionError as error:
            if re.search(r"Could not find a version|[Cc]onnection", str(error)):
                pytest.skip("the package index cannot be reached")
            raise
        check_image(root)
        check_node(root, folder)


def check_image(root: Root) -> None:
    """What is in the image, and whose it is."""
    venv, state = root.inside("/opt/protovine"), root.inside("/var/lib/protovine")
    passwd = root.inside("/etc/passwd").read_text()
    assert "protovine:x:10001:10001:" in passwd and ":/var/lib/protovine:/usr/sbin/nologin" in passwd
    assert (10001, 0o700) == (state.stat().st_uid, state.stat().st_mode & 0o777)
    assert not (root.folder / "src").exists(), "of the stage before only the environment is kept"
    open_to_the_node = [
        path
        for path in venv.rglob("*")
        if not path.is_symlink() and (path.stat().st_uid or path.stat().st_mode & 0o022)
    ]
    assert not open_to_the_node, "a node that is taken over cannot change its program"
    assert not list(venv.glob("lib/python*/site-packages/pandas")), "the image is slim"
    assert {10001} == {path.stat().st_uid for path in state.rglob("*")}
    assert list(state.glob("cache/**/*.nbi")), "its kernels are compiled"


def check_node(root: Root, folder: Path) -> None:
    """Two starts of node-0, and one that may not write its state."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["node-0"]
    assert compose["read_only"] and compose["cap_drop"] == ["ALL"] and compose["tmpfs"] == ["/tmp"]
    given, now = folder / "given", datetime.now(UTC)
    given.mkdir()
    create_authority(given / "authority", "demo", now=now)
    issue(given / "authority", "node-0", given / "certificates", now=now)
    for path in (given / "certificates", *(given / "certificates").iterdir()):
        os.chown(path, 10001, 10001)
    (given / "schema.json").write_text(json.dumps({"features": ["a", "b"], "classes": ["no", "yes"]}))
    (given / "samples.csv").write_text(
        "a,b,y\n" + "".join(f"{n % 2},{n % 7},{('no', 'yes')[n % 2]}\n" for n in range(50))
    )
    here = {"node.toml": ROOT / "deploy" / "compose" / "node.toml"}
    binds = {
        here.get(name, given / name): f"/etc/protovine/{name}"
        for name in ("node.toml", "schema.json", "samples.csv", "certificates")
    }
    mounted = {each.split(":")[1] for each in compose["volumes"]}
    assert set(binds.values()) | {"/var/lib/protovine"} == mounted
    log = folder / "log"
    log.touch()

    def wait_for(container: Container, true: Callable[[Container], bool]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not true(container):
            assert container.process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)

    def status(container: Container) -> dict[str, Any]:
        asked = (
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/status', timeout=3).read().decode())"
        )
        done = container.exec(["python", "-c", asked])
        return json.loads(done.stdout) if not done.returncode else {}

    def live() -> str:
        """A start until it has learnt more, and its end; all logs so far."""
        saved = root.inside("/var/lib/protovine/state/snapshot.bin")
        before = read_state(saved).samples_learnt if saved.exists() else 0
        container = Container(root, log, compose["hostname"], binds)
        try:
            wait_for(container, lambda made: not made.exec(root.health).returncode)
            wait_for(container, lambda made: status(made).get("samples_learnt", 0) > before + 20)
            assert "node-0" == status(container)["name"]
            assert (
                "uid=10001(protovine) gid=10001(protovine) groups=10001(protovine)"
                == container.exec(["id"]).stdout.strip()
            )
            tries = "touch /opt/protovine/x; touch /etc/x; touch /x; echo ok > /tmp/x; cat /tmp/x"
            tried = container.exec(["sh", "-c", tries])
            assert "ok\n" == tried.stdout and 3 == tried.stderr.count("Read-only file system"), tried.stderr
            powers = container.exec(["grep", "-E", "Cap(Eff|Bnd)|NoNewPrivs", "/proc/1/status"]).stdout.split()
            assert ["0" * 16, "0" * 16, "1"] == powers[1::2], powers
            assert 0 == container.stop()
        finally:
            container.kill()
        assert read_state(saved).samples_learnt > before + 20
        return log.read_text()

    live()
    text = live()
    assert 2 == text.count("left after") and "Traceback" not in text
    assert "compiling kernels" not in text, "the kernels of the image hold"
    assert "continued from a snapshot with" in text
    saved = root.inside("/var/lib/protovine/state")
    assert 0o700 == saved.stat().st_mode & 0o777
    assert {(10001, 0o600)} == {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in saved.iterdir()}
    # A key that another user owns, as after a forgotten chown, is one line.
    os.chown(given / "certificates" / "member.key", 0, 0)
    container = Container(root, log, compose["hostname"], binds)
    try:
        assert 2 == container.process.wait(LIMIT_S)
    finally:
        container.kill()
    assert "cannot read /etc/protovine/certificates/member.key: Permission denied" in log.read_text().splitlines()[-1]
