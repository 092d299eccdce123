"""A certificate authority that lives as long as a test, and a server certificate it has signed."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from ..contract.tools import need, output

_DAYS = "2"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The three PEM files that a TLS server and its clients need; ``authority`` is the clients'."""

    authority: Path
    chain: Path
    key: Path

    def for_server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


def make_certificate(folder: Path, *names: str) -> Certificate:
    """A certificate for 127.0.0.1, localhost and more host names, and the authority behind it."""
    need("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    hosts = ",".join(["IP:127.0.0.1", *(f"DNS:{name}" for name in ("localhost", *names))])
    authority, authority_key = folder / "ca.crt", folder / "ca.key"
    chain, key, request = folder / "server.crt", folder / "server.key", folder / "server.csr"
    extensions = folder / "server.ext"
    extensions.write_text(f"subjectAltName={hosts}\nextendedKeyUsage=serverAuth\n")
    elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    new = ["openssl", "req", *elliptic, "-nodes", "-sha256"]
    signing = ["-x509", "-days", _DAYS, "-subj", "/CN=test authority"]
    output(*new, *signing, "-keyout", authority_key, "-out", authority)
    output(*new, "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", request)
    sign = ["openssl", "x509", "-req", "-sha256", "-days", _DAYS, "-CAcreateserial"]
    by = ["-CA", str(authority), "-CAkey", str(authority_key), "-extfile", str(extensions)]
    output(*sign, *by, "-in", request, "-out", chain)
    return Certificate(authority, chain, key)
