"""What a node reads of certificates: its own, its authority's, and those of its peers."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from protovine.errors import ConfigError, RemoteProtocolError
from protovine.net import MemberName, load_identity, load_member, load_trust
from protovine.net.security.identity import MEMBER_ID_MAX
from tests.net.conftest import NOW


def entries(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_node_loads_only_what_fits(home: Path, tmp_path: Path) -> None:
    def copied(name: str, source: str, **replaced: Path) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for path in (home / source).iterdir():
            data = replaced.get(path.stem, path).read_bytes()
            (folder / path.name).write_bytes(data)
            (folder / path.name).chmod(0o600)
        return folder

    assert "ann" == load_member(copied("good", "ann"), NOW)[0].member.name
    with pytest.raises(ConfigError, match=r"member\.pem cannot be used: it ended on 2029-12-12"):
        load_member(home / "old", NOW)
    with pytest.raises(ConfigError, match="was revoked"):
        load_member(copied("revoked", "bad", revoked=home / "authority" / "revoked.pem"), NOW)
    folder = copied("key", "ann")
    (folder / "member.key").write_bytes((home / "bob" / "member.key").read_bytes())
    with pytest.raises(ConfigError, match="is not the key of"):
        load_identity(folder)
    with pytest.raises(ConfigError, match=r"revoked\.pem is not of the authority"):
        load_trust(copied("list", "ann", revoked=home / "twin" / "authority" / "revoked.pem"))
    folder = copied("open", "ann")
    (folder / "member.key").chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others: chmod 600"):
        load_identity(folder)
    (folder / "revoked.pem").unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*revoked.pem"):
        load_trust(folder)


def test_only_the_swarms_authority_is_trusted(home: Path) -> None:
    trust = load_trust(home / "authority")

    def reason(folder: str) -> str:
        certificate = x509.load_pem_x509_certificate((home / folder).read_bytes())
        with pytest.raises(RemoteProtocolError) as caught:
            trust.verify(certificate, NOW)
        return caught.value.reason

    assert MemberName("barn", "bob", 1) == trust.verify(load_identity(home / "bob").certificate, NOW)
    for folder in ("other/mallory/member.pem", "twin/mallory/member.pem", "old/member.pem", "authority/authority.pem"):
        assert "certificate" == reason(folder), folder
    assert "revoked" == reason("bad/member.pem")


@given(st.text(max_size=80) | st.from_regex(r"protovine://[a-z-]{0,3}/[a-z0-9-]{0,3}/[0-9]{0,8}\n?", fullmatch=True))
def test_names_in_certificates_have_one_spelling(uri: str) -> None:
    try:
        member = MemberName.parse(uri)
    except ValueError:
        return
    assert uri == member.uri and 0 <= member.id <= MEMBER_ID_MAX
