"""Logins are found in the files and by the helpers that podman and docker use, and stay secret."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixi_ship.errors import RegistryError
from pixi_ship.registry.credentials import (
    Credentials,
    CredentialStore,
    credential_files,
    credential_store,
    specificity,
)

from ..contract.tools import need, output, run

SECRET = "hunter2:with colon é"
HOME = Path("/somewhere/home")


def encoded(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


@dataclass
class Logins:
    """A directory with files of logins, and one with helpers."""

    root: Path
    files: list[Path] = field(default_factory=list)

    def write(self, document: object, name: str = "auth.json") -> Path:
        path = self.root / str(len(self.files)) / name
        path.parent.mkdir(parents=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        self.files.append(path)
        return path

    def helper(self, name: str, script: str) -> Path:
        path = self.root / "bin" / f"docker-credential-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def store(self, *, required: bool = False, seconds: float = 60.0) -> CredentialStore:
        variables = {"PATH": os.environ["PATH"], "ROOT": str(self.root), "VAULT_KEY": SECRET}
        place = str(self.root / "bin")
        return CredentialStore(self.files, place, variables, required, seconds)

    def find(self, host: str, repository: str = "team/image") -> Credentials | None:
        return self.store().find(host, repository)

    def refusal(
        self, host: str = "a.example", *, required: bool = False, seconds: float = 60.0
    ) -> str:
        """The error for a person: nothing secret in it, nor in what it was raised from."""
        with pytest.raises(RegistryError) as caught:
            self.store(required=required, seconds=seconds).find(host, "team/image")
        error = caught.value
        assert error.hint
        assert error.__cause__ is None or isinstance(error.__cause__, OSError)
        assert error.__cause__ is not None or error.__suppress_context__ or not error.__context__
        text = f"{error}\n{error.hint}"
        assert "hunter2" not in text
        assert encoded("joe", SECRET) not in text
        return text


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(tmp_path)


class TestFiles:
    def test_order(self) -> None:
        variables = {"XDG_RUNTIME_DIR": "/run/user/7", "XDG_CONFIG_HOME": "/cfg"}
        assert credential_files({**variables, "DOCKER_CONFIG": "/dock"}, HOME, 7) == [
            Path("/run/user/7/containers/auth.json"),
            Path("/cfg/containers/auth.json"),
            Path("/dock/config.json"),
            HOME / ".dockercfg",
        ]

    def test_defaults(self) -> None:
        variables = {"XDG_RUNTIME_DIR": "", "XDG_CONFIG_HOME": "", "DOCKER_CONFIG": ""}
        usual = [
            HOME / ".config/containers/auth.json",
            HOME / ".docker/config.json",
            HOME / ".dockercfg",
        ]
        assert credential_files(variables, HOME) == usual
        assert credential_files({}, HOME, 7) == [Path("/run/containers/7/auth.json"), *usual]

    def test_a_named_file_stands_alone(self) -> None:
        variables = {"REGISTRY_AUTH_FILE": "/its/auth.json", "XDG_RUNTIME_DIR": "/run/user/7"}
        assert credential_files(variables, HOME, 7) == [Path("/its/auth.json")]
        assert credential_store(variables, HOME, 7).files == [Path("/its/auth.json")]
        authfile = Path("/other.json")
        assert credential_store(variables, HOME, 7, authfile).files == [authfile]
        assert credential_store(variables, HOME, 7).required
        assert credential_store({}, HOME, 7, authfile).required
        assert not credential_store({}, HOME, 7).required

    def test_the_first_with_a_login_wins(self, logins: Logins) -> None:
        logins.write({"auths": {"other.example": {"auth": encoded("no", "no")}}})
        logins.write({"auths": {"a.example": {}}})
        logins.write({"auths": {"a.example": {"auth": encoded("joe", SECRET)}}})
        logins.write({"auths": {"a.example": {"auth": encoded("late", "late")}}})
        assert logins.find("a.example") == Credentials("joe", SECRET)
        assert logins.find("b.example") is None

    def test_files_may_lack_unless_they_were_named(self, logins: Logins) -> None:
        plain = logins.write("")
        logins.files.append(plain / "below-a-file")
        logins.files.append(logins.root / "missing.json")
        assert logins.find("a.example") is None
        logins.files.pop(1)
        refusal = logins.refusal(required=True)
        assert refusal.startswith(f"reading logins from {logins.root}/missing.json: there is no")

    def test_anybody_may_read_the_file(self, logins: Logins) -> None:
        logins.write({"auths": {"a.example": {"auth": encoded("joe", SECRET)}}}).chmod(0o666)
        assert logins.find("a.example") == Credentials("joe", SECRET)

    def test_old_format_of_docker(self, logins: Logins) -> None:
        old = {"https://a.example/v1/": {"auth": encoded("joe", SECRET), "email": "joe@a.example"}}
        logins.write(old, ".dockercfg")
        assert logins.find("a.example") == Credentials("joe", SECRET)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ('{"auths": {"a.example": {"auth": "hunter2', "it is not JSON (line 1, column 34)"),
            ("[" * 100_000, "it is not JSON"),
            ("\xff\ud800", "it is not JSON"),
            ('["hunter2"]', "it is not a JSON object"),
            ('{"auths": ["hunter2"]}', "'auths' is not an object"),
            ('{"auths": {"a.example": "hunter2"}}', "it is not an object"),
            ('{"auths": {"a.example": {"auth": 7}}}', "'auth' is not a text"),
            ('{"auths": {"a.example": {"auth": "hunter2!"}}}', "'auth' is not base64 of a text"),
            ('{"auths": {"a.example": {"auth": "/w=="}}}', "'auth' is not base64 of a text"),
            ('{"auths": {"a.example": {"auth": "aHVudGVyMg=="}}}', "not base64 of USER:PASSWORD"),
            ('{"credHelpers": {"a.example": 7}}', "'credHelpers' is not an object of names"),
            ('{"credsStore": ["hunter2"]}', "'credsStore' is not a name"),
            (" " * (4 << 20) + "{}", "it has more than 4194304 bytes"),
        ],
        ids=range(13),
    )
    def test_broken_files(self, logins: Logins, text: str, problem: str) -> None:
        path = logins.write("")
        path.write_bytes(text.encode(errors="surrogatepass"))
        refusal = logins.refusal()
        assert str(path) in refusal
        assert problem in refusal.partition("\n")[0]

    def test_a_broken_entry_of_another_registry_does_not_matter(self, logins: Logins) -> None:
        logins.write({"auths": {"b.example": 7, "a.example": {"auth": encoded("joe", SECRET)}}})
        assert logins.find("a.example") == Credentials("joe", SECRET)

    def test_a_directory_in_place_of_a_file(self, logins: Logins) -> None:
        logins.files.append(logins.root)
        assert logins.refusal().startswith(f"reading logins from {logins.root}: Is a directory")


class TestEntries:
    @pytest.mark.parametrize(
        ("entry", "login"),
        [
            ({"auth": encoded("joe", SECRET)}, Credentials("joe", SECRET)),
            ({"auth": encoded("joe", "")}, Credentials("joe", "")),
            ({"auth": encoded("joe", "pw\0\0")}, Credentials("joe", "pw")),
            ({"username": "joe", "password": SECRET}, Credentials("joe", SECRET)),
            (
                {"username": "no", "password": "no", "auth": encoded("joe", "pw")},
                Credentials("joe", "pw"),
            ),
            ({"identitytoken": SECRET}, Credentials(identity_token=SECRET)),
            (
                {"auth": encoded("0000", ""), "identitytoken": SECRET},
                Credentials("0000", identity_token=SECRET),
            ),
            ({}, None),
            ({"auth": "", "email": "joe@a.example"}, None),
            ({"auth": None, "username": None}, None),
        ],
        ids=range(10),
    )
    def test_forms(self, logins: Logins, entry: object, login: Credentials | None) -> None:
        logins.write({"auths": {"a.example": entry}})
        assert logins.find("a.example") == login

    def test_secrets_are_not_shown(self, logins: Logins) -> None:
        shown = repr(Credentials("joe", SECRET, SECRET)) + repr(logins.store())
        assert "joe" in shown
        assert "hunter2" not in shown

    def test_basic(self) -> None:
        assert Credentials("Aladdin", "open sesame").basic() == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


class TestKeys:
    def test_the_most_specific_one_wins(self, logins: Logins) -> None:
        keys = ["a.example", "a.example/team/image", "a.example/team", "a.example/other"]
        logins.write({"auths": {key: {"auth": encoded(key, "pw")} for key in keys}})
        for repository, key in [
            ("team/image", "a.example/team/image"),
            ("team/image/part", "a.example/team/image"),
            ("team/image2", "a.example/team"),
            ("teams/image", "a.example"),
            ("other", "a.example/other"),
        ]:
            assert logins.find("a.example", repository) == Credentials(key, "pw")

    def test_an_empty_entry_leaves_room_for_the_next(self, logins: Logins) -> None:
        entries = {"a.example/team": {}, "a.example": {"auth": encoded("joe", "pw")}}
        logins.write({"auths": entries})
        assert logins.find("a.example") == Credentials("joe", "pw")

    def test_a_plain_key_comes_before_a_url(self, logins: Logins) -> None:
        entries = {
            key: {"auth": encoded(key[:5], "pw")} for key in ("https://a.example", "a.example")
        }
        logins.write({"auths": entries})
        assert logins.find("a.example") == Credentials("a.exa", "pw")

    @pytest.mark.parametrize(
        ("key", "host", "fits"),
        [
            ("a.example:5000", "a.example:5000", True),
            ("a.example:5000", "a.example", False),
            ("a.example", "a.example:5000", False),
            ("A.Example", "a.example", True),
            ("[::1]:5000", "[::1]:5000", True),
            ("https://a.example", "a.example", True),
            ("HTTPS://a.example/", "a.example", True),
            ("http://a.example:5000/v2/", "a.example:5000", True),
            ("https://a.example/any/path", "a.example", True),
            ("a.example/v1/", "a.example", True),
            ("a.example/v2/", "a.example", True),
            ("a.example/", "a.example", True),
            ("a.example/team/", "a.example", True),
            ("xa.example", "a.example", False),
            ("a.example.evil", "a.example", False),
            ("https://joe@a.example", "a.example", False),
            ("https://", "a.example", False),
            ("https://index.docker.io/v1/", "docker.io", True),
            ("index.docker.io", "docker.io", True),
            ("registry-1.docker.io", "docker.io", True),
            ("docker.io", "registry-1.docker.io", True),
            ("docker.io/team", "docker.io", True),
            ("hub.docker.io", "docker.io", False),
        ],
    )
    def test_spellings(self, logins: Logins, key: str, host: str, *, fits: bool) -> None:
        logins.write({"auths": {key: {"auth": encoded("joe", "pw")}}})
        assert logins.find(host) == (Credentials("joe", "pw") if fits else None)


hosts = st.from_regex(r"[a-z]{1,4}\.(?:[a-z]{2,3})(?::[1-9][0-9]{0,3})?", fullmatch=True)
parts = st.sampled_from(["a", "b", "ab", "v1", "v2", "library", "x-y"])
names = st.lists(parts, min_size=1, max_size=4)


@given(hosts, names, st.lists(names, unique_by=tuple, max_size=6))
def test_keys_are_looked_up_as_podman_does(
    host: str, name: list[str], namespaces: list[list[str]]
) -> None:
    """The list of containers-auth.json(5), from the whole name down to the host, finds the same."""
    keys = {f"{host}/{'/'.join(namespace)}" for namespace in namespaces} | {host}
    lookups = [f"{host}/{'/'.join(name[:size])}" for size in range(len(name), 0, -1)]
    wanted = next(key for key in [*lookups, host] if key in keys)
    fits = {key: specificity(key, host, "/".join(name)) for key in keys}
    assert fits[wanted] == max(fit for fit in fits.values() if fit is not None)
    assert [key for key in keys if fits[key] == fits[wanted]] == [wanted]
    assert {key for key in keys if fits[key] is not None} == {*lookups, host} & keys


@given(st.text(), hosts, names.map("/".join), st.booleans())
def test_a_key_never_fits_another_host(key: str, host: str, name: str, legacy: bool) -> None:
    if specificity(key, host, name, legacy=legacy) is not None:
        assert key.lower().removeprefix("https://").removeprefix("http://").startswith(host)


@given(hosts, hosts, names.map("/".join), st.sampled_from(["", "/", "/v1/", "/v2/", "/a"]))
def test_a_url_stands_for_its_host(host: str, other: str, name: str, path: str) -> None:
    for scheme in ("http", "https"):
        fit = specificity(f"{scheme}://{host}{path}", other, name)
        assert fit == (0 if host == other else None)


FOUND = """read server; echo "$server" >> "$ROOT/asked"
printf '{"ServerURL":"%s","Username":"joe","Secret":"%s"}' "$server" "$VAULT_KEY"
"""


class TestHelpers:
    def asked(self, logins: Logins) -> list[str]:
        return (logins.root / "asked").read_text().split()

    def test_of_one_registry(self, logins: Logins) -> None:
        logins.helper("vault", FOUND.replace("read server", '[ "$*" = get ] && read server'))
        entries = {"a.example": {"auth": encoded("no", "no")}}
        logins.write({"credHelpers": {"a.example": "vault"}, "auths": entries})
        assert logins.find("a.example") == Credentials("joe", SECRET)
        assert logins.find("b.example") is None
        assert self.asked(logins) == ["a.example"]

    def test_gets_the_host_and_nothing_more(self, logins: Logins) -> None:
        logins.helper("vault", 'cat > "$ROOT/asked"; echo "{}"')
        logins.write({"credHelpers": {"a.example:5000": "vault"}})
        assert logins.find("a.example:5000") is None
        assert (logins.root / "asked").read_bytes() == b"a.example:5000"

    def test_for_all_registries(self, logins: Logins) -> None:
        logins.helper("vault", FOUND)
        entries = {"a.example": {}, "b.example": {"auth": encoded("bea", "pw")}}
        logins.write({"credsStore": "vault", "auths": entries})
        assert logins.find("a.example") == Credentials("joe", SECRET)
        assert logins.find("b.example") == Credentials("bea", "pw")
        assert logins.find("docker.io") == Credentials("joe", SECRET)
        assert self.asked(logins) == ["a.example", "https://index.docker.io/v1/"]

    @pytest.mark.parametrize("key", ["docker.io", "https://index.docker.io/v1/"])
    def test_of_docker_hub(self, logins: Logins, key: str) -> None:
        logins.helper("vault", FOUND)
        logins.write({"credHelpers": {key: "vault"}})
        assert logins.find("docker.io") == Credentials("joe", SECRET)
        assert self.asked(logins) == [key]

    def test_one_registry_is_taken_out(self, logins: Logins) -> None:
        logins.helper("vault", FOUND)
        logins.write({"credsStore": "vault", "credHelpers": {"a.example": ""}})
        assert logins.find("a.example") is None
        assert logins.find("b.example") == Credentials("joe", SECRET)

    def test_identity_token(self, logins: Logins) -> None:
        logins.helper("vault", FOUND.replace("joe", "<token>"))
        logins.write({"credsStore": "vault"})
        assert logins.find("a.example") == Credentials(identity_token=SECRET)

    def test_not_found_goes_on_with_the_next_file(self, logins: Logins) -> None:
        logins.helper("vault", "echo credentials not found in native keychain; exit 1")
        logins.write({"credHelpers": {"a.example": "vault"}})
        logins.write({"auths": {"a.example": {"auth": encoded("joe", "pw")}}})
        assert logins.find("a.example") == Credentials("joe", "pw")

    def test_an_end_without_reading(self, logins: Logins) -> None:
        logins.helper("vault", "exec <&-; echo credentials not found in native keychain; exit 1")
        logins.write({"credsStore": "vault"})
        assert logins.find("a.example") is None

    @pytest.mark.parametrize(
        ("script", "problem"),
        [
            ('echo "$VAULT_KEY"; exit 3', "it failed with status 3"),
            ('echo "$VAULT_KEY" >&2; kill -9 $$', "it failed with status -9"),
            ('echo "credentials not found in native keychain"', "is not a JSON object"),
            ('echo "$VAULT_KEY"', "its answer is not a JSON object with Username and Secret"),
            ("echo '[\"hunter2\"]'", "its answer is not a JSON object with Username and Secret"),
            ("echo '{\"Username\": 7}'", "its answer is not a JSON object with Username"),
            ('while echo "$VAULT_KEY"; do :; done', "it printed more than 1048576 bytes"),
        ],
        ids=range(7),
    )
    def test_failures(
        self, logins: Logins, capfd: pytest.CaptureFixture[str], script: str, problem: str
    ) -> None:
        logins.helper("vault", script)
        logins.write({"credsStore": "vault"})
        refusal = logins.refusal()
        assert refusal.startswith("asking docker-credential-vault for the login to a.example: ")
        assert problem in refusal
        assert capfd.readouterr() == ("", "")

    def test_one_that_hangs_is_ended_with_all_it_started(self, logins: Logins) -> None:
        logins.helper("vault", 'sleep 600 & echo $! > "$ROOT/child"; wait')
        logins.write({"credsStore": "vault"})
        # Long enough for a shell to start on a busy machine.
        assert "no answer within 3 seconds" in logins.refusal(seconds=3)
        assert ended(int((logins.root / "child").read_text()))

    def test_one_whose_child_holds_the_pipe(self, logins: Logins) -> None:
        logins.helper("vault", 'sleep 600 & echo $! > "$ROOT/child"; exit 0')
        logins.write({"credsStore": "vault"})
        assert "no answer within 3 seconds" in logins.refusal(seconds=3)
        assert ended(int((logins.root / "child").read_text()))

    @pytest.mark.parametrize("name", ["lost", "../bin/vault", "a b", "", ".", "-x"])
    def test_missing(self, logins: Logins, name: str) -> None:
        logins.helper("vault", FOUND)
        path = logins.write({"credHelpers": {"a.example": name}})
        if not name:
            assert logins.find("a.example") is None
            return
        refusal = logins.refusal()
        assert refusal.startswith(f"asking docker-credential-{name} for the login to a.example: ")
        assert f"{path} names it: put it on PATH" in refusal

    def test_a_name_is_no_path(self, logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
        program = logins.helper("vault", FOUND)
        program.rename(logins.root / "docker-credential-vault")
        program.mkdir()
        (logins.root / "docker-credential-vault").rename(program / "run")
        logins.write({"credHelpers": {"a.example": "vault/run"}})
        monkeypatch.chdir(logins.root / "bin")
        assert "docker-credential-vault/run for the login to a.example: there" in logins.refusal()

    def test_one_that_cannot_run(self, logins: Logins) -> None:
        logins.helper("vault", "").write_text("#!/no/such/interpreter\n")
        logins.write({"credsStore": "vault"})
        assert "asking docker-credential-vault" in logins.refusal()

    def test_none_in_relative_directories(
        self, logins: Logins, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logins.helper("vault", FOUND)
        logins.write({"credsStore": "vault"})
        monkeypatch.chdir(logins.root / "bin")
        monkeypatch.setenv("PATH", str(logins.root / "bin"))
        for path in (":.", ".", "", None, "../bin"):
            with pytest.raises(RegistryError, match="there is no such program"):
                CredentialStore(logins.files, path, {}).find("a.example", "team/image")


def ended(process: int) -> bool:
    """Whether a process that was killed comes to its end; it may then wait to be collected."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


class Registry(ThreadingHTTPServer):
    """The base of a registry that lets one login in; ``let_in`` holds the paths it asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.let_in: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Registry

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == Credentials("joe", SECRET).basic()
        if allowed:
            self.server.let_in.append(self.path)
        self.send_response((404 if "manifests" in self.path else 200) if allowed else 401)
        if not allowed:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TestTools:
    """What podman and its kin write is read, and what is read here they read as well."""

    @pytest.mark.parametrize("tool", ["skopeo", "podman", "buildah"])
    def test_login(self, logins: Logins, registry: Registry, tool: str) -> None:
        need(tool)
        path = logins.root / "auth.json"
        words = [tool, "login", "--tls-verify=false", "--authfile", str(path)]
        login = subprocess.run(
            [*words, "--username", "joe", "--password-stdin", registry.host],
            input=SECRET.encode(),
            capture_output=True,
        )
        assert login.returncode == 0, login.stderr
        logins.files.append(path)
        assert logins.find(registry.host) == Credentials("joe", SECRET)
        assert logins.find("127.0.0.1:1") is None
        output(tool, "logout", "--authfile", path, registry.host)
        assert logins.find(registry.host) is None

    @pytest.mark.parametrize("helped", [False, True])
    def test_docker_login(self, logins: Logins, registry: Registry, *, helped: bool) -> None:
        need("docker")
        keep = 'if [ "$1" = store ]; then cat > "$ROOT/kept"; else cat "$ROOT/kept"; fi'
        programs = logins.helper("vault", keep).parent
        path = logins.write({"credsStore": "vault"} if helped else {}, "config.json")
        done = subprocess.run(
            ["docker", "login", "--username", "joe", "--password-stdin", registry.host],
            input=SECRET.encode(),
            capture_output=True,
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "ROOT": str(logins.root),
                "DOCKER_CONFIG": str(path.parent),
                "DOCKER_HOST": f"unix://{logins.root}/nowhere.sock",
            },
        )
        if done.returncode and b"daemon" in done.stderr:
            pytest.skip("this docker asks its daemon to log in")
        assert done.returncode == 0, done.stderr
        assert (logins.root / "kept").exists() == helped
        assert logins.find(registry.host) == Credentials("joe", SECRET)
        assert credential_store({"DOCKER_CONFIG": str(path.parent)}, HOME, 0).files[2] == path

    @pytest.mark.parametrize("named", ["HOST", "https://HOST/v1/", "HOST/team", "HOST/other", "X"])
    @pytest.mark.parametrize("helped", [False, True])
    def test_skopeo_finds_the_same(
        self, logins: Logins, registry: Registry, named: str, *, helped: bool
    ) -> None:
        """It is let in by a file where a login is found here, and only there."""
        need("skopeo")
        host = registry.host
        key, entry = named.replace("HOST", host), {"auth": encoded("joe", SECRET)}
        by_helper = {"auths": {host: {"auth": encoded("no", "no")}}, "credHelpers": {key: "vault"}}
        path = logins.write(by_helper if helped else {"auths": {key: entry}})
        programs = logins.helper("vault", FOUND).parent
        run(
            *("skopeo", "inspect", "--raw", "--tls-verify=false", "--authfile", path),
            f"docker://{host}/team/image:1",
            env={
                "PATH": f"{programs}:{os.environ['PATH']}",
                "ROOT": str(logins.root),
                "VAULT_KEY": SECRET,
            },
        )
        found = logins.find(host) == Credentials("joe", SECRET)
        assert found == any("/team/image/" in path for path in registry.let_in)
        assert found == (
            named in (("HOST",) if helped else ("HOST", "https://HOST/v1/", "HOST/team"))
        )
