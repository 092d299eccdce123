"""Connections are opened only to whom a person trusts; checked by handshakes with a real server."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from pixi_ship.errors import RegistryError
from pixi_ship.registry.certificates import certificate_directories, tls_context

from ..contract.tools import need, output

HOST = "registry.example:5000"
NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
NEW = ["openssl", "req", "-sha256", *NEW_KEY]


@dataclass(frozen=True, slots=True)
class Pair:
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a directory of its own."""

    root: Path
    name: str

    @property
    def own(self) -> Pair:
        return Pair(self.root / f"{self.name}.pem", self.root / f"{self.name}-key.pem")

    def make(self) -> Authority:
        words = ["-x509", "-days", "2", "-subj", f"/CN={self.name}"]
        output(*NEW, *words, "-keyout", self.own.key, "-out", self.own.certificate)
        return self

    def sign(self, name: str) -> Pair:
        """A certificate for 127.0.0.1, and for a client of that name."""
        pair = Pair(self.root / f"{name}.pem", self.root / f"{name}-key.pem")
        request, extensions = self.root / "request", self.root / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        output(*NEW, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
        output(
            *("openssl", "x509", "-req", "-days", "2", "-extfile", extensions),
            *("-CA", self.own.certificate, "-CAkey", self.own.key, "-CAcreateserial"),
            *("-in", request, "-out", pair.certificate),
        )
        return pair


@dataclass(frozen=True, slots=True)
class Keys:
    ours: Authority
    server: Pair
    client: Pair
    other: Authority
    other_client: Pair


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    need("openssl")
    root = tmp_path_factory.mktemp("keys")
    ours, other = Authority(root, "ours").make(), Authority(root, "other").make()
    return Keys(ours, ours.sign("server"), ours.sign("joe"), other, other.sign("eve"))


@dataclass(frozen=True, slots=True)
class Server:
    """A TLS server that tells each client the name in its certificate."""

    listening: socket.socket
    context: ssl.SSLContext
    pool: ThreadPoolExecutor

    def greets(self, context: ssl.SSLContext, name: str = "127.0.0.1") -> str:
        """What the server says to a client with this context; raises what the client meets."""
        answered: Future[None] = self.pool.submit(self._answer)
        try:
            with (
                socket.create_connection(self.listening.getsockname(), timeout=30) as plain,
                context.wrap_socket(plain, server_hostname=name) as client,
            ):
                return client.recv(100).decode()
        finally:
            answered.result()

    def _answer(self) -> None:
        plain, _ = self.listening.accept()
        plain.settimeout(30)
        try:
            with plain, self.context.wrap_socket(plain, server_side=True) as client:
                subject = str((client.getpeercert() or {}).get("subject", ""))
                found = re.search(r"'commonName', '(\w+)'", subject)
                client.send(f"hello {found[1] if found else 'stranger'}".encode())
        except (ssl.SSLError, ConnectionError):
            pass  # the client gave up, which is for it to say


@pytest.fixture
def server(keys: Keys) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.server.certificate, keys.server.key)
    context.load_verify_locations(keys.ours.own.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:
        yield Server(listening, context, pool)


@dataclass(frozen=True, slots=True)
class CertsD:
    """The directory of one registry in a ``certs.d``."""

    path: Path

    def put(self, **files: Path | str) -> CertsD:
        """Files by their names, with ``_`` for the dot; a path is copied, a text written."""
        directory = self.path / HOST
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            text = content.read_text() if isinstance(content, Path) else content
            (directory / name.replace("_", ".")).write_text(text)
        return self

    def file(self, name: str) -> Path:
        return self.path / HOST / name

    def context(self) -> ssl.SSLContext:
        return tls_context(HOST, [self.path], None)

    def refusal(self) -> str:
        with pytest.raises(RegistryError) as caught:
            self.context()
        assert caught.value.hint
        return str(caught.value)


@pytest.fixture
def certs_d(tmp_path: Path) -> CertsD:
    return CertsD(tmp_path / "certs.d")


def test_directories() -> None:
    assert certificate_directories(Path("/somewhere")) == [
        Path("/somewhere/.config/containers/certs.d"),
        Path("/etc/containers/certs.d"),
        Path("/etc/docker/certs.d"),
    ]


class TestTrust:
    def test_strangers_are_refused(self, server: Server, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(ca_crt=keys.other.own.certificate)
        with pytest.raises(ssl.SSLCertVerificationError):
            server.greets(certs_d.context())

    def test_authority_of_the_registry(self, server: Server, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(a_crt=keys.other.own.certificate, b_crt=keys.ours.own.certificate)
        assert server.greets(certs_d.context()) == "hello stranger"

    def test_authority_of_another_registry(
        self, server: Server, certs_d: CertsD, keys: Keys
    ) -> None:
        certs_d.put(ca_crt=keys.ours.own.certificate)
        for host in (
            "registry.example",
            "registry.example:443",
            "..",
            "a/../registry.example:5000",
        ):
            with pytest.raises(ssl.SSLCertVerificationError):
                server.greets(tls_context(host, [certs_d.path], None))

    def test_no_path_leads_out_of_the_directory(
        self, server: Server, certs_d: CertsD, keys: Keys
    ) -> None:
        certs_d.put(ca_crt=keys.ours.own.certificate)
        for host in (".", "..", "", f"x/../{HOST}", str(certs_d.path / HOST)):
            inner = certs_d.path / HOST / "inner"
            (inner / "x").mkdir(parents=True, exist_ok=True)
            for directory in (certs_d.path, certs_d.path / HOST, inner):
                with pytest.raises(ssl.SSLCertVerificationError):
                    server.greets(tls_context(host, [directory], None))

    def test_a_file_of_authorities(self, server: Server, keys: Keys) -> None:
        context = tls_context(HOST, [], keys.ours.own.certificate)
        assert server.greets(context) == "hello stranger"

    def test_the_systems_authorities(
        self, server: Server, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(keys.ours.own.certificate))
        assert server.greets(tls_context(HOST, [], None)) == "hello stranger"
        both = tls_context(HOST, [], keys.other.own.certificate)
        assert server.greets(both) == "hello stranger"
        monkeypatch.setenv("SSL_CERT_FILE", str(keys.other.own.certificate))
        with pytest.raises(ssl.SSLCertVerificationError):
            server.greets(tls_context(HOST, [], None))

    def test_the_name_must_be_right(self, server: Server, keys: Keys) -> None:
        context = tls_context(HOST, [], keys.ours.own.certificate)
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            server.greets(context, "localhost")

    def test_the_first_directory_counts(self, server: Server, tmp_path: Path, keys: Keys) -> None:
        ours = CertsD(tmp_path / "ours").put(ca_crt=keys.ours.own.certificate)
        other = CertsD(tmp_path / "other").put(ca_crt=keys.other.own.certificate)
        (tmp_path / "file").write_text("")
        lacking = [tmp_path / "missing", tmp_path / "file"]
        first = tls_context(HOST, [*lacking, ours.path, other.path], None)
        assert server.greets(first) == "hello stranger"
        with pytest.raises(ssl.SSLCertVerificationError):
            server.greets(tls_context(HOST, [*lacking, other.path, ours.path], None))

    @pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n"])
    def test_broken_authority(self, certs_d: CertsD, text: str) -> None:
        certs_d.put(ca_crt=text)
        wanted = f"reading {certs_d.file('ca.crt')}: it is no certificate authority's file"
        assert certs_d.refusal() == wanted

    def test_missing_authority(self, certs_d: CertsD, tmp_path: Path) -> None:
        certs_d.put()
        certs_d.file("ca.crt").symlink_to("nowhere")
        assert certs_d.refusal() == f"reading {certs_d.file('ca.crt')}: No such file or directory"
        with pytest.raises(RegistryError, match=r"reading .*/lost\.pem: No such file or directory"):
            tls_context(HOST, [], tmp_path / "lost.pem")


class TestClient:
    def test_certificate_is_shown(self, server: Server, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(
            ca_crt=keys.ours.own.certificate,
            client_cert=keys.client.certificate,
            client_key=keys.client.key,
            README_md="what is this?",
        )
        assert server.greets(certs_d.context()) == "hello joe"

    def test_the_first_of_several(self, server: Server, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(
            ca_crt=keys.ours.own.certificate,
            a_cert=keys.client.certificate,
            a_key=keys.client.key,
            b_cert=keys.server.certificate,
            b_key=keys.server.key,
        )
        assert server.greets(certs_d.context()) == "hello joe"

    def test_without_its_key(self, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(client_cert=keys.client.certificate)
        assert certs_d.refusal() == (
            f"reading {certs_d.file('client.cert')}: "
            "there is no client.key beside this client certificate"
        )

    def test_key_without_certificate(self, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(client_key=keys.client.key)
        assert certs_d.refusal() == (
            f"reading {certs_d.file('client.key')}: "
            "there is no client certificate (.cert) for this key"
        )

    def test_key_of_another(self, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(client_cert=keys.client.certificate, client_key=keys.other_client.key)
        assert certs_d.refusal() == (
            f"reading {certs_d.file('client.cert')}: "
            "it is no client certificate that fits client.key"
        )

    def test_a_key_with_a_passphrase_asks_nobody(self, certs_d: CertsD, keys: Keys) -> None:
        need("openssl")
        certs_d.put(client_cert=keys.client.certificate)
        output(
            *("openssl", "ec", "-in", keys.client.key, "-aes256", "-passout", "pass:hunter2"),
            *("-out", certs_d.file("client.key")),
        )
        said: Future[str] = Future()
        thread = threading.Thread(target=lambda: said.set_result(certs_d.refusal()), daemon=True)
        thread.start()
        assert "it is no client certificate that fits client.key" in said.result(timeout=60)
        thread.join()

    def test_a_key_that_is_a_broken_link(self, certs_d: CertsD, keys: Keys) -> None:
        certs_d.put(client_cert=keys.client.certificate)
        certs_d.file("client.key").symlink_to("nowhere")
        wanted = f"reading {certs_d.file('client.key')}: No such file or directory"
        assert certs_d.refusal() == wanted
