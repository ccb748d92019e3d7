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
import time
from pathlib import Path

import pytest

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
