"""Files that let whoever has them act as a person; an image shows its files to everybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase

HEAD = 64 << 10  # bytes of a file that are looked at

_NAMES = {
    **dict.fromkeys((".netrc", "_netrc"), "passwords for hosts"),
    ".dockercfg": "logins to registries",
    ".env": "variables that are kept out of repositories",
    ".git-credentials": "passwords for Git hosts",
    ".htpasswd": "passwords of a web server",
    ".pgpass": "passwords for databases",
    ".pypirc": "a login to PyPI",
    **dict.fromkeys(("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"), "a private SSH key"),
}
_ENDINGS = {
    ".kdbx": "a password database",
    ".p12": "a private key with its certificate",
    ".pfx": "a private key with its certificate",
}
_PATHS = {
    ".aws/credentials": "keys for AWS",
    ".docker/config.json": "logins to registries",
    ".kube/*": "access to a Kubernetes cluster",
    ".rattler/credentials.json": "logins to conda channels",
    ".ssh/*": "SSH keys and hosts",
    "containers/auth.json": "logins to registries",
}
_EXAMPLES = (".env.example", ".env.sample", ".env.template")

_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_AUTHS = re.compile(rb'"auths"\s*:\s*\{\s*"[^"]+"')
_ACCOUNT = re.compile(rb'"type"\s*:\s*"service_account"')
_ACCOUNT_KEY = re.compile(rb'"private_key"\s*:\s*"')
_RATTLER = re.compile(rb'"(?:BearerToken|CondaToken|BasicHTTP|S3Credentials|OAuth)"\s*:')
_NPM = re.compile(rb"^[^#;\n]*(?:_auth|_authToken|_password)\s*=\s*(?!\$\{)\S", re.MULTILINE)
_CONDA = re.compile(
    rb"^[^#\n]*(?:/t/[^/\s]+|token\w*\s*:\s*\S|://[^/\s@]+:[^/\s@]+@)", re.MULTILINE
)


def credential(path: str, head: Callable[[], bytes]) -> str | None:
    """What a file seems to hold that nobody should see; None for all others.

    path: with slashes, relative or absolute. head: gives its first :data:`HEAD` bytes; called
    only where the name does not tell.
    """
    name = path.rpartition("/")[2]
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith(".env.") and name not in _EXAMPLES:
        return _NAMES[".env"]
    for ending, what in _ENDINGS.items():
        if name.lower().endswith(ending):
            return what
    for pattern, what in _PATHS.items():
        if fnmatchcase(f"/{path}", f"*/{pattern}") and not name.endswith(".pub"):
            return what
    return _by_content(name, head)


def _by_content(name: str, head: Callable[[], bytes]) -> str | None:
    if name.endswith((".pem", ".key")):
        return "a private key" if _PRIVATE_KEY.search(head()) else None
    if name == ".npmrc":
        return "a login to npm" if _NPM.search(head()) else None
    if name in (".condarc", "condarc", ".mambarc", "mambarc"):
        return "a token for conda channels" if _CONDA.search(head()) else None
    if name.endswith(".json"):
        return _by_json(name, head())
    return None


def _by_json(name: str, text: bytes) -> str | None:
    if _ACCOUNT.search(text) and _ACCOUNT_KEY.search(text):
        return "the key of a service account"
    if name in ("auth.json", "config.json") and _AUTHS.search(text):
        return "logins to registries"
    if name == "credentials.json" and _RATTLER.search(text):
        return "logins to conda channels"
    return None
