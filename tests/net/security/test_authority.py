"""Certificates as files, by the functions and by the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from protovine.cli import main
from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net import MemberName, create_authority, describe, issue, load_member, load_trust, revoke
from protovine.net.security.authority import sign
from protovine.net.security.identity import MEMBER_ID_MAX, load_client, read_certificate
from protovine.net.security.requests import request
from tests.net.conftest import NOW

DAY = timedelta(days=1)


def protovine(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(part) for part in arguments])


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    create_authority(tmp_path / "authority", "barn", now=NOW, days=400)
    return tmp_path / "authority"


@pytest.fixture
def of_today(tmp_path: Path) -> Path:
    """Commands read the system's clock."""
    create_authority(tmp_path / "today", "barn", now=datetime.now(UTC))
    return tmp_path / "today"


def entries(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_command_makes_a_swarm(tmp_path: Path) -> None:
    authority, out = tmp_path / "a", tmp_path / "certs" / "node-0"
    assert 0 == protovine("cert", "init", authority, "--swarm", "barn").exit_code
    options = ("--address", "127.0.0.1", "--address", "::1", "--address", "Shed.example")
    assert 0 == protovine("cert", "issue", "node-0", "--authority", authority, "--out", out, *options).exit_code
    assert {"member.key", "member.pem", "authority.pem", "revoked.pem"} == {path.name for path in out.iterdir()}
    for key in (authority / "authority.key", out / "member.key"):
        assert (0o600, 0o700) == (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777)
    shown = json.loads(protovine("cert", "show", out / "member.pem", "--json").stdout)
    assert ("member", "barn", "node-0", 1, True) == tuple(shown[k] for k in ("kind", "swarm", "name", "id", "in_time"))
    assert ["node-0", "shed.example", "127.0.0.1", "::1"] == shown["addresses"]
    assert "kind       authority\nswarm      barn\n" in protovine("cert", "show", out / "authority.pem").stdout
    assert "revoked    none\n" in protovine("cert", "show", out / "revoked.pem").stdout
    done = protovine("cert", "revoke", shown["serial"].upper(), "--authority", authority)
    assert f"revoked node-0, id 1, serial {shown['serial']}" in done.stdout
    assert shown["serial"] in protovine("cert", "show", authority / "revoked.pem").stdout
    assert set() == load_trust(out).revoked
    assert {int(shown["serial"], 16)} == load_trust(authority).revoked


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees(home: Path) -> None:
    """An independent implementation finds chain, purposes, address and revocation as they should be."""

    def openssl(folder: str, *options: str) -> str:
        done = subprocess.run(
            [
                *("openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()) + 60), *options),
                *("-CAfile", home / "authority" / "authority.pem", home / folder / "member.pem"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    crl = ("-crl_check", "-CRLfile", str(home / "authority" / "revoked.pem"))
    for purpose in ("sslclient", "sslserver"):
        assert openssl("ann", "-purpose", purpose, "-verify_ip", "127.0.0.1", *crl).endswith("OK\n")
    assert "IP address mismatch" in openssl("ann", "-verify_ip", "127.0.0.2")
    assert "certificate revoked" in openssl("bad", *crl)
    assert "certificate has expired" in openssl("old", *crl)
    assert "unable to get local issuer" in openssl("other/mallory")


def test_what_was_written_is_on_the_disk_under_its_name(
    authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate whose entry in the index a crash takes back could never be revoked."""
    done: list[str] = []
    fsync, rename = os.fsync, {"replace": os.replace, "rename": os.rename}

    def synced(handle: int) -> None:
        done.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{handle}')).split('.part')[0]}")
        fsync(handle)

    def renamed(how: str, source: Path, target: Path) -> None:
        done.append(f"name {Path(target).name}")
        rename[how](source, target)

    monkeypatch.setattr(os, "fsync", synced)
    for how in rename:
        monkeypatch.setattr(os, how, partial(renamed, how))
    issue(authority, "ann", tmp_path / "ann", now=NOW)
    index = done.index("name index.json")
    assert ["name index.json", "sync authority"] == done[index : index + 2]
    assert ["name ann", f"sync {tmp_path.name}"] == done[-2:] and done[-3].startswith("sync .ann.")
    done.clear()
    revoke(authority, "ann", now=NOW)
    assert ["name revoked.pem", "sync authority"] == done[-2:]


def test_ids_count_from_1_and_stay_with_the_name(authority: Path, tmp_path: Path) -> None:
    def made(name: str, **options: object) -> int:
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        return issue(authority, name, folder, now=NOW, **options).id

    assert [1, 7, 2] == [made("a"), made("b", id=7), made("c")]
    assert 7 == made("b", renew=True)
    revoke(authority, "a", now=NOW)
    assert 1 == made("a"), "a name that has no live certificate needs no --renew"
    assert [0, 0, 3] == [made("z", id=0), made("z", renew=True), made("f")], "0 was given by earlier versions"
    with pytest.raises(ConfigError, match="id 7 is taken by b"):
        made("d", id=7)
    with pytest.raises(ConfigError, match="b has id 7 and keeps it, got 8"):
        made("b", id=8, renew=True)
    with pytest.raises(ConfigError, match="id must be between 0 and"):
        made("e", id=MEMBER_ID_MAX + 1)


def test_a_renewed_certificate_has_a_new_key_and_the_old_one_stays_good(authority: Path, tmp_path: Path) -> None:
    issue(authority, "ann", tmp_path / "1", now=NOW, days=30)
    with pytest.raises(ConfigError, match="ann has a certificate until 2030-01-31; --renew"):
        issue(authority, "ann", tmp_path / "2", now=NOW + 30 * DAY)
    issue(authority, "ann", tmp_path / "2", now=NOW + 20 * DAY, renew=True)
    (old, trust), (new, _) = (load_member(tmp_path / folder, NOW + 21 * DAY) for folder in "12")
    assert old.key.public_key() != new.key.public_key()
    assert trust.verify(old.certificate, NOW + 21 * DAY) == trust.verify(new.certificate, NOW + 21 * DAY)
    revoke(authority, f"{old.certificate.serial_number:x}", now=NOW)
    trust = load_trust(authority)
    with pytest.raises(RemoteProtocolError, match="revoked"):
        trust.verify(old.certificate, NOW + 21 * DAY)
    assert MemberName("barn", "ann", 1) == trust.verify(new.certificate, NOW + 21 * DAY)


def test_lifetimes_are_bounded_by_the_authoritys(authority: Path, tmp_path: Path) -> None:
    issue(authority, "ann", tmp_path / "ann", now=NOW + 100 * DAY)
    assert "2031-02-05T00:00:00+00:00" == describe(tmp_path / "ann" / "member.pem", NOW)["not_after"]
    with pytest.raises(ConfigError, match="days must be at most 300, the authority ends on 2031-02-05; got 301"):
        issue(authority, "bob", tmp_path / "bob", now=NOW + 100 * DAY, days=301)
    with pytest.raises(ConfigError, match="ended on 2031-02-05"):
        issue(authority, "bob", tmp_path / "bob", now=NOW + 401 * DAY)
    assert not (tmp_path / "bob").exists()


@pytest.mark.parametrize("moment", ["folder", "index"])
def test_a_failed_write_leaves_everything_as_it_was(
    moment: str, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = entries(tmp_path)
    failing = "rename" if moment == "folder" else "replace"

    def full(*_: object) -> None:
        monkeypatch.undo()  # The way back may write again.
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"protovine.net.security.files.os.{failing}", full)
    with pytest.raises(ConfigError, match="No space left"):
        issue(authority, "ann", tmp_path / "ann", now=NOW)
    assert before == entries(tmp_path)
    assert ["authority"] == [path.name for path in tmp_path.iterdir()]


def mistakes() -> list[tuple[str, str]]:
    return [
        ("init out --swarm Barn", "the swarm's name must be 1 to 63 of a-z, 0-9 and - (not first or last), got 'Barn'"),
        ("init out --swarm barn --days 0", "days must be between 1 and 7300, got 0"),
        ("init authority --swarm barn", "is not empty; name a new folder"),
        ("init ann/member.pem --swarm barn", "is a file; name a new folder"),
        ("init ann/member.pem/x --swarm barn", "cannot write to"),
        ("issue a_b --authority authority --out out", "the member's name must be"),
        ("issue bob --authority nowhere --out out", "no such folder: nowhere"),
        ("issue bob --authority ann --out out", "cannot read ann/authority.key: No such file or directory"),
        ("issue bob --authority mixed --out out", "mixed/authority.key is not the key of mixed/authority.pem"),
        ("issue bob --authority member --out out", "is no authority's certificate: it is a member's"),
        ("issue bob --authority broken --out out", "broken/index.json is no index of certificates"),
        ("issue bob --authority over --out out", "the authority in over ended on 2021-01-01"),
        ("issue bob --authority authority --out ann", "is not empty; name a new folder"),
        ("issue bob --authority authority --out out --address 1.2.3", "an address must be an IP address or a DNS name"),
        ("issue bob --authority authority --out out --address *.x", "an address must be an IP address or a DNS name"),
        ("issue bob --authority authority --out out --days 3651", "days must be between 1 and 3650, got 3651"),
        ("issue bob --authority authority --out out --id -1", "id must be between 0 and 999999, got -1"),
        ("issue ann --authority authority --out out", "ann has a certificate until"),
        ("show nothing", "cannot read nothing: No such file or directory"),
        ("show .", "cannot read .: Is a directory"),
        ("show ann/member.key", "ann/member.key is no certificate in PEM"),
        ("revoke ana --authority authority", "knows no member or serial number 'ana' (did you mean 'ann'?)"),
        ("revoke ann --authority ann", "cannot read ann/authority.key"),
    ]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from datetime import UTC, datetime

    path, now = tmp_path_factory.mktemp("workshop"), datetime.now(UTC)
    for name in ("authority", "mixed", "member", "broken"):
        create_authority(path / name, "barn", now=now)
    create_authority(path / "over", "barn", now=now.replace(year=2020, month=1, day=1, hour=0), days=366)
    issue(path / "authority", "ann", path / "ann", now=now)
    (path / "mixed" / "authority.key").write_bytes((path / "authority" / "authority.key").read_bytes())
    (path / "member" / "authority.pem").write_bytes((path / "ann" / "member.pem").read_bytes())
    (path / "broken" / "index.json").write_text('{"format": 1, "swarm": "barn"}')
    return path


@pytest.mark.parametrize(("arguments", "message"), mistakes(), ids=[text for text, _ in mistakes()])
def test_a_mistake_is_one_line_and_changes_nothing(
    arguments: str, message: str, workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workshop)
    before = entries(workshop)
    done = protovine("cert", *arguments.split())
    assert 2 == done.exit_code, done.output
    assert message in done.stderr and 1 == len(done.stderr.splitlines())
    assert before == entries(workshop)


def test_a_key_never_travels(of_today: Path, tmp_path: Path) -> None:
    """Request on the member, sign at the of_today, and copy the answer back: it has no key."""
    gate, answer = tmp_path / "gate", tmp_path / "answer"
    asked = protovine("cert", "request", "gate-1", "--out", gate, "--address", "192.0.2.5")
    assert 0 == asked.exit_code, asked.stderr
    assert {"member.key", "request.pem"} == {path.name for path in gate.iterdir()}
    assert 0o600 == (gate / "member.key").stat().st_mode & 0o777
    signed = protovine("cert", "sign", gate / "request.pem", "--authority", of_today, "--out", answer)
    assert 0 == signed.exit_code, signed.stderr
    key = asked.stdout.split("key ")[1].split()[0].rstrip(",")
    assert f"gate-1, key {key}, addresses 192.0.2.5" in signed.stdout and "id 1 of swarm barn" in signed.stdout
    assert {"member.pem", "authority.pem", "revoked.pem"} == {path.name for path in answer.iterdir()}
    assert b"PRIVATE" not in b"".join(entries(answer).values()) + (gate / "request.pem").read_bytes()
    for path in answer.iterdir():
        shutil.copy(path, gate)
    now = datetime.now(UTC)
    identity, trust = load_member(gate, now)
    assert MemberName("barn", "gate-1", 1) == identity.member == trust.verify(identity.certificate, now)
    assert ["gate-1", "192.0.2.5"] == describe(gate / "member.pem", now)["addresses"]
    # Renewal keeps the key.
    before = (gate / "member.key").read_bytes()
    assert 0 == protovine("cert", "request", "gate-1", "--out", gate, "--address", "192.0.2.6").exit_code
    assert before == (gate / "member.key").read_bytes()
    again = ("cert", "sign", gate / "request.pem", "--authority", of_today, "--out", tmp_path / "again")
    assert "--renew issues one more" in protovine(*again).stderr
    assert 0 == protovine(*again, "--renew").exit_code
    shutil.copy(tmp_path / "again" / "member.pem", gate)
    assert MemberName("barn", "gate-1", 1) == load_member(gate, now)[0].member


def test_a_request_that_was_changed_is_not_signed(authority: Path, tmp_path: Path) -> None:
    protovine("cert", "request", "gate-1", "--out", tmp_path / "gate")
    path = tmp_path / "gate" / "request.pem"
    der = bytearray(x509.load_pem_x509_csr(path.read_bytes()).public_bytes(serialization.Encoding.DER))
    der[der.index(b"gate-1") + 5] = ord("2")
    changed = x509.load_der_x509_csr(bytes(der))
    path.write_bytes(changed.public_bytes(serialization.Encoding.PEM))
    before = entries(authority)
    for wrong in (path, authority / "authority.pem", authority / "index.json", tmp_path / "nothing"):
        done = protovine("cert", "sign", wrong, "--authority", authority, "--out", tmp_path / "out")
        assert (2, 1) == (done.exit_code, len(done.stderr.splitlines())), done.stderr
    assert before == entries(authority) and not (tmp_path / "out").exists()


def test_the_list_has_every_certificate_and_its_state(authority: Path, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    issue(authority, "old", tmp_path / "old", now=now - 40 * DAY, days=30)
    for name in ("ann", "bob"):
        issue(authority, name, tmp_path / name, now=now)
    issue(authority, "kim", tmp_path / "kim", now=now, operator=True)
    revoke(authority, "bob", now=now)
    rows = json.loads(protovine("cert", "list", "--authority", authority, "--json").stdout)
    found = {row["name"]: (row["id"], row["state"]) for row in rows}
    assert {"ann": (2, "valid"), "bob": (3, "revoked"), "kim": (None, "valid"), "old": (1, "ended")} == found
    shown = protovine("cert", "list", "--authority", authority).stdout
    assert 4 == len(shown.splitlines()) and "operator  valid" in shown


def test_an_operator_is_no_member(of_today: Path, tmp_path: Path) -> None:
    out = tmp_path / "kim"
    assert 0 == protovine("cert", "issue", "kim", "--authority", of_today, "--out", out, "--operator").exit_code
    now = datetime.now(UTC)
    swarm, trust = load_client(out, now)
    assert "barn" == swarm and "operator" == describe(out / "member.pem", now)["kind"]
    with pytest.raises(ConfigError, match="operator kim"):
        load_member(out, now)
    with pytest.raises(RemoteProtocolError, match="operator kim is no member"):
        trust.verify(read_certificate(out / "member.pem"), now)
    with pytest.raises(ConfigError, match="kim is an operator: choose another name"):
        issue(of_today, "kim", tmp_path / "member", now=now, renew=True)
    revoke(of_today, "kim", now=now)
    shutil.copy(of_today / "revoked.pem", out)
    with pytest.raises(ConfigError, match="was revoked"):
        load_client(out, now)


def test_a_certificate_that_is_not_valid_yet_says_both_dates(authority: Path, tmp_path: Path) -> None:
    issue(authority, "ann", tmp_path / "ann", now=NOW)
    with pytest.raises(
        ConfigError, match="it is valid from 2029-12-31 23:00 UTC on, and the clock here shows 1970-01-01"
    ):
        load_member(tmp_path / "ann", datetime(1970, 1, 1, tzinfo=UTC))


def test_a_revoked_key_is_not_signed_again(authority: Path, tmp_path: Path) -> None:
    """A thief has the key too: the name can be issued again, the key cannot."""
    request(tmp_path / "ann", "ann")
    sign(authority, tmp_path / "ann" / "request.pem", tmp_path / "first", now=NOW)
    revoke(authority, "ann", now=NOW + DAY)
    before = entries(authority)
    with pytest.raises(ConfigError, match=r"this key of ann was revoked on .* make a new one"):
        sign(authority, tmp_path / "ann" / "request.pem", tmp_path / "second", now=NOW + 2 * DAY)
    assert (before, False) == (entries(authority), (tmp_path / "second").exists())
    request(tmp_path / "new", "ann")
    assert 1 == sign(authority, tmp_path / "new" / "request.pem", tmp_path / "third", now=NOW + 2 * DAY).id
