"""Every kind of credential is found where it is one, and is not seen where it is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixi_ship.errors import ProjectError

from .made import dests, find, make

KEY = "-----BEGIN {}PRIVATE KEY-----\nhunter2\n"
# A file that is one, then a file of the same kind that is none.
CASES = [
    (".netrc", "machine h", "netrc", "machine h"),
    ("_netrc", "machine h", "x_netrc", "machine h"),
    ("d/.env", "A=hunter2", "d/env", "A=hunter2"),
    (".env.production", "A=1", ".env.example", "A=1"),
    (".env.local", "A=1", ".env.template", "A=1"),
    (".env.x", "A=1", ".env.sample", "A=1"),
    (".pypirc", "[pypi]", "pypirc.md", "[pypi]"),
    (".npmrc", "//r/:_authToken=hunter2", ".npmrc", "registry=https://r"),
    ("a/.npmrc", "_auth = hunter2", ".npmrc", "//r/:_authToken=${NPM_TOKEN}"),
    (".git-credentials", "https://a:hunter2@h", ".git-credentials.md", ""),
    (".docker/config.json", "{}", "docker/config.json", '{"a": 1}'),
    ("config.json", '{"auths": {"h": {}}}', "config.json", '{"auths": {}}'),
    (".dockercfg", "{}", "dockercfg", "{}"),
    ("auth.json", '{"auths": {"h": {"auth": "eA=="}}}', "auth.json", '{"users": []}'),
    ("x/containers/auth.json", "{}", "x/container/auth.json", "{}"),
    (".aws/credentials", "[default]", ".aws/config", "[default]"),
    (".ssh/config", "Host h", ".ssh/id_rsa.pub", "ssh-rsa A"),
    ("keys/id_rsa", "x", "keys/id_rsa.pub", "ssh-rsa A"),
    ("id_dsa", "x", "id_dsa.pub", "x"),
    ("id_ecdsa", "x", "id_ecdsa.pub", "x"),
    ("id_ed25519", "x", "id_ed25519.pub", "x"),
    ("tls/server.key", KEY.format("RSA "), "tls/public.key", "-----BEGIN PUBLIC KEY-----"),
    ("server.pem", "cert\n" + KEY.format(""), "ca.pem", "-----BEGIN CERTIFICATE-----"),
    ("x.pem", KEY.format("ENCRYPTED "), "y.pem", "no private key"),
    ("gpg.key", "-----BEGIN PGP PRIVATE KEY BLOCK-----", "h5.key", "data"),
    (".kube/config", "clusters:", "kube/config", "clusters:"),
    ("p.kdbx", "x", "p.kdb", "x"),
    (".condarc", "channels: [https://h/t/tk-1/c]", ".condarc", "channels: [https://h/c]"),
    (".mambarc", "c: https://u:hunter2@h/c", ".mambarc", "channels: [conda-forge]"),
    ("condarc", "anaconda_token: hunter2", "condarc", "# token: none"),
    ("credentials.json", '{"h": {"BearerToken": "x"}}', "credentials.json", '{"h": 1}'),
    (".rattler/credentials.json", "{}", "rattler/credentials.json", "{}"),
    (
        "gcp.json",
        '{"type": "service_account", "private_key": "x"}',
        "schema.json",
        '{"type": "service_account"}',
    ),
    (".htpasswd", "a:b", "htpasswd", "a:b"),
    ("c.p12", "x", "c.p11", "x"),
    ("C.PFX", "x", "c.pf", "x"),
    (".pgpass", "h:*:*:u:p", "pgpass", ""),
]


@pytest.mark.parametrize(
    ("name", "content", "other", "harmless"), CASES, ids=lambda text: text[:20]
)
def test_one_and_one_that_is_none(
    tmp_path: Path, name: str, content: str, other: str, harmless: str
) -> None:
    bad = make(tmp_path / "bad", {name: content})
    with pytest.raises(ProjectError) as caught:
        find(bad, ".")
    assert f"1 look like credentials, which everybody with the image could read: '{name}' (" in (
        str(caught.value)
    )
    assert "hunter2" not in str(caught.value)
    assert dests(find(bad, name)) == [f"app/{name}"], "named by itself it is taken"
    assert dests(find(bad, ".", name)) == [f"app/{name}"]
    good = make(tmp_path / "good", {other: harmless})
    assert dests(find(good, ".")) == [f"app/{other}"]


def test_all_are_listed_and_the_way_out_is_told(tmp_path: Path) -> None:
    root = make(tmp_path, {"b/.env": "", "a/.netrc": "", "c/id_rsa": "", "d": ""})
    with pytest.raises(ProjectError) as caught:
        find(root, ".")
    assert str(caught.value).endswith(
        "'a/.netrc' (passwords for hosts), 'b/.env' (variables that are kept out of "
        "repositories), 'c/id_rsa' (a private SSH key)"
    )
    assert caught.value.hint is not None
    assert ".dockerignore" in caught.value.hint
    assert "--include PATH" in caught.value.hint
    (root / ".dockerignore").write_text("**/.env\n**/.netrc\nc\n")
    assert dests(find(root, ".")) == ["app/.dockerignore", "app/d"]


def test_many_are_listed_in_part(tmp_path: Path) -> None:
    root = make(tmp_path, {f"{number:02}/.env": "" for number in range(25)})
    with pytest.raises(ProjectError, match=r"25 look like .* and 5 more\Z"):
        find(root, ".")


def test_a_pattern_is_no_name(tmp_path: Path) -> None:
    root = make(tmp_path, {"a/.env": ""})
    with pytest.raises(ProjectError, match="credentials"):
        find(root, "a/.e*")


def test_a_link_to_one_names_it(tmp_path: Path) -> None:
    root = make(tmp_path, {".env": "A=1"})
    (root / "settings").symlink_to(".env")
    with pytest.raises(ProjectError, match="which is not taken along"):
        find(make(root, {".gitignore": ".env\n"}), ".")
    assert dests(find(root, "settings")) == ["app/settings"]


def test_is_looked_for_at_the_beginning_only(tmp_path: Path) -> None:
    root = make(tmp_path, {"a.pem": "x" * (64 << 10) + KEY.format("")})
    assert dests(find(root, ".")) == ["app/a.pem"]
