"""The image without an engine: each stage is a root of its own, in which every instruction runs as it is written.

The programs of the system and the Python of the tests stand in for the base image. A command runs in namespaces of
its own, as in a container: mounts, processes and, for a node, network and host name. It needs root and util-linux.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pip

from tests.release.scripts import ROOT

LIMIT_S = 1800.0
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("unshare", "nsenter", "setpriv", "chroot", "mount", "ip")
_PIP = "/opt/pip"
# How pip finds packages is a matter of the machine.
_BUILD_ENV = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "SSL_"))}
_BUILD_ENV["PYTHONPATH"] = _PIP
# The system's programs cannot be written from inside.
_MOUNTS = """
mount --bind "$R" "$R"
mount --bind -o ro /usr "$R/usr"
mount -o remount,bind,ro "$R/usr"
mount --bind "$PYTHON" "$R$PYTHON"
mount -o remount,bind,ro "$R$PYTHON"
mount -t tmpfs dev "$R/dev"
for each in null zero full random urandom; do touch "$R/dev/$each"; mount --bind "/dev/$each" "$R/dev/$each"; done
mkdir -m 1777 "$R/dev/shm"
mount -t tmpfs -o mode=1777 shm "$R/dev/shm"
mount -t proc proc "$R/proc"
"""


def reason_not_to() -> str:
    """Why no root can be made here; empty if one can."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path=BASE_PATH) is None]
    if sys.platform != "linux" or os.geteuid() or missing:
        return f"needs Linux, root and {', '.join(TOOLS)}"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--net", "--uts", "--fork", "true"], check=False)
    return "namespaces are not allowed here" if tried.returncode else ""


@dataclass
class Root:
    """One stage of the image: its files, and what its instructions have set."""

    folder: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": f"{sys.base_prefix}/bin:{BASE_PATH}", "HOME": "/root"})
    cwd: str = "/"
    user: int = 0
    entry: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("usr", "dev", "proc", "tmp", "var/lib", "root", "opt", sys.base_prefix.lstrip("/")):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "tmp").chmod(0o1777)
        for name in ("bin", "sbin", "lib", "lib64"):  # Where these are folders of /usr, as in Debian.
            if (Path("/") / name).is_symlink():
                (self.folder / name).symlink_to(os.readlink(Path("/") / name))
        etc = self.folder / "etc"
        etc.mkdir()
        (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
        (etc / "group").write_text("root:x:0:\n")
        for name in ("shadow", "gshadow"):
            (etc / name).write_text("root:*::\n" if name == "gshadow" else "root:*:19000:0:99999:7:::\n")
        for name in ("hosts", "resolv.conf", "nsswitch.conf", "login.defs", "pip.conf", "ld.so.cache"):
            if (found := Path("/etc") / name).exists():
                shutil.copy(found, etc / name)
        shutil.copytree("/etc/ssl/certs", etc / "ssl" / "certs", ignore_dangling_symlinks=True)
        # The base image has pip; this Python may have it in an environment only.
        shutil.copytree(Path(pip.__file__).parent, self.folder / _PIP.lstrip("/") / "pip")

    def words(self, command: list[str], env: dict[str, str], *, mounts: str = "", locked: bool = False) -> list[str]:
        """A command in new namespaces, after more ``mounts``; ``locked`` leaves it no powers, as compose.yaml does."""
        drop = ["setpriv", "--reuid", str(self.user), "--regid", self.group, "--clear-groups"]
        drop += ["--bounding-set=-all", "--no-new-privs"] if locked else []
        inside = [*drop, "env", "-i", "-C", self.cwd, *(f"{key}={value}" for key, value in env.items()), *command]
        script = f"R={shlex.quote(str(self.folder))} PYTHON={shlex.quote(sys.base_prefix)}{_MOUNTS}{mounts}\n"
        script += f'exec chroot "$R" {shlex.join(inside)}'
        apart = ["--net", "--uts"] if locked else []
        return ["unshare", "--mount", "--pid", *apart, "--fork", "--kill-child", "bash", "-euc", script]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """A shell command of a RUN instruction."""
        env = self.env | (_BUILD_ENV if not self.user else {})
        words = self.words(["/bin/sh", "-c", command], env)
        return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    @property
    def group(self) -> str:
        """The group of the user, which engines look up in the image."""
        lines = [line.split(":") for line in (self.folder / "etc" / "passwd").read_text().splitlines()]
        return next(gid for _, _, uid, gid, *_ in lines if int(uid) == self.user)

    def inside(self, path: str) -> Path:
        """Where a path of the image is."""
        return self.folder / path.lstrip("/")


def build(instructions: list[tuple[str, str]], folder: Path) -> Root:
    """Carry out the instructions of a Containerfile, each as it stands; the last stage."""
    stages: dict[str, Root] = {}
    assert instructions[0][0] == "FROM"
    for name, text in instructions:
        if name == "FROM":
            root = Root(folder / f"stage-{len(stages)}")
            stages[text.partition(" AS ")[2] or "last"] = root
        elif name == "WORKDIR":
            root.cwd = text
            root.inside(text).mkdir(parents=True, exist_ok=True)
        elif name == "COPY":
            _copy(root, stages, shlex.split(text))
        elif name == "RUN":
            done = root.run(text)
            assert not done.returncode, f"RUN {text}\n{done.stdout}\n{done.stderr}"
        elif name == "ENV":
            for each in shlex.split(text):
                key, _, value = each.partition("=")
                for other in re.findall(r"\$(\w+)", value):
                    value = value.replace(f"${other}", root.env[other])
                root.env[key] = value
        elif name == "USER":
            root.user = int(text)
        elif name == "VOLUME":
            root.volumes.append(text)
        elif name == "HEALTHCHECK":
            root.health = json.loads(text[text.index("[") :])
        elif name == "ENTRYPOINT":
            root.entry = json.loads(text)
        elif name == "CMD":
            root.command = json.loads(text)
        else:
            assert name == "EXPOSE", f"unknown instruction {name}"
    return root


def _copy(root: Root, stages: dict[str, Root], words: list[str]) -> None:
    """COPY, from the checkout or from another stage, by the rules of such files: a folder means what is in it."""
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].folder
    *names, to = words
    target = root.inside(to if to.startswith("/") else f"{root.cwd}/{to}")
    for name in names:
        found = source / name.lstrip("/")
        if found.is_dir():
            ignored = shutil.ignore_patterns("__pycache__") if source == ROOT else None
            shutil.copytree(found, target, symlinks=True, ignore=ignored, dirs_exist_ok=True)
        else:
            if to.endswith("/"):
                target.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, target / found.name if target.is_dir() else target)


class Container:
    """The image as compose.yaml runs it: its own network, a file system that cannot be written, no powers."""

    def __init__(self, root: Root, log: Path, host: str, binds: dict[Path, str], arguments: list[str] | None = None):
        self.root, self.log = root, log
        mounts = [f"echo {host} > /proc/sys/kernel/hostname", "ip link set lo up"]
        for here, there in binds.items():
            place = root.inside(there)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.mkdir(exist_ok=True) if here.is_dir() else place.touch()
            mounts += [f'mount --bind {shlex.quote(str(here))} "$R{there}"', f'mount -o remount,bind,ro "$R{there}"']
        mounts += [f'mount --bind "$R{each}" "$R{each}"' for each in root.volumes]
        mounts += ['mount -t tmpfs tmp "$R/tmp"', 'chmod 1777 "$R/tmp"', 'mount -o remount,bind,ro "$R"']
        words = [*root.entry, *(root.command if arguments is None else arguments)]
        command = root.words(words, root.env, mounts="\n".join(mounts), locked=True)
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    @property
    def pid(self) -> int:
        """The first process of the container, as the machine sees it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                return int(children[0])
            time.sleep(0.02)
        raise AssertionError(f"no process: {self.log.read_text()}")

    def exec(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """A command in the container, as an engine runs its health check."""
        env = [f"{key}={value}" for key, value in self.root.env.items()]
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--uts", "--root"]
        user, group = str(self.root.user), self.root.group
        drop = ["setpriv", "--reuid", user, "--regid", group, "--clear-groups", "--bounding-set=-all", "--no-new-privs"]
        words = [*enter, *drop, "env", "-i", *env, *command]
        return subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def stop(self) -> int:
        """SIGTERM to the first process, as an engine sends it; its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
