"""Archives come over HTTP as Pixi would get them, and only the right bytes are kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pixi_ship.cache import Cache
from pixi_ship.errors import DigestMismatch, FetchError
from pixi_ship.fetch.archives import Archives
from pixi_ship.lock.model import PypiPackage

DATA = bytes(range(256)) * 20_000
NAME = "thing-1.0-py3-none-any.whl"


@dataclass
class Site:
    """A web server on the loopback address; ``paths`` is what was asked for."""

    url: str
    files: dict[str, bytes]
    paths: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.paths.append(self.path)
            data = found.files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Site(f"http://127.0.0.1:{server.server_address[1]}", {f"/simple/{NAME}": DATA})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def wheel(url: str, data: bytes = DATA, size: int | None = None) -> PypiPackage:
    return PypiPackage(
        name="thing",
        version="1.0",
        location=url,
        file_name=NAME,
        sha256=hashlib.sha256(data).hexdigest(),
        size=size,
    )


def archives(tmp_path: Path, *, offline: bool = False) -> Archives:
    return Archives(Cache(tmp_path / "cache"), tmp_path, offline)


def test_an_archive_is_fetched_once(site: Site, tmp_path: Path) -> None:
    """The second build finds it in the cache."""
    package = wheel(f"{site.url}/simple/{NAME}")
    first = archives(tmp_path)
    assert first.get(package).path.read_bytes() == DATA
    assert (first.fetched, first.fetched_bytes) == (1, len(DATA))
    again = archives(tmp_path, offline=True)
    assert again.get(package).path.read_bytes() == DATA
    assert again.fetched == 0
    assert site.paths == [f"/simple/{NAME}"]


def test_an_archive_that_rotted_in_the_cache_is_fetched_again(site: Site, tmp_path: Path) -> None:
    """A cache hit counts only if the bytes are still the right ones."""
    package = wheel(f"{site.url}/simple/{NAME}")
    path = archives(tmp_path).get(package).path
    path.write_bytes(DATA[:-1] + b"x")
    again = archives(tmp_path)
    assert again.get(package).path.read_bytes() == DATA
    assert again.fetched == 1


def test_wrong_bytes_are_refused(site: Site, tmp_path: Path) -> None:
    """The message says both digests, and nothing stays in the cache."""
    package = wheel(f"{site.url}/simple/{NAME}", b"other")
    with pytest.raises(DigestMismatch) as caught:
        archives(tmp_path).get(package)
    assert caught.value.want == f"sha256:{hashlib.sha256(b'other').hexdigest()}"
    assert caught.value.got == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []
    assert not (tmp_path / "cache" / "archives").exists()


def test_more_bytes_than_the_lock_says_are_not_read(site: Site, tmp_path: Path) -> None:
    """A server cannot fill the disk."""
    package = wheel(f"{site.url}/simple/{NAME}", size=1000)
    with pytest.raises(FetchError, match="more than the 1000 bytes of the lock came"):
        archives(tmp_path).get(package)


def test_a_missing_file_is_told_without_secrets(site: Site, tmp_path: Path) -> None:
    """User, password, token and query stay out of the message."""
    host = site.url.removeprefix("http://")
    package = wheel(f"http://me:sesame@{host}/t/tk-123/none/{NAME}?key=4711")
    with pytest.raises(FetchError) as caught:
        archives(tmp_path).get(package)
    message = f"{caught.value} {caught.value.hint}"
    assert f"fetching {NAME} from http://{host}/none/{NAME}: " in message
    assert "404" in message
    for secret in ("sesame", "tk-123", "4711"):
        assert secret not in message


def test_offline_fetches_nothing(site: Site, tmp_path: Path) -> None:
    """--offline names what is missing."""
    with pytest.raises(FetchError, match="is not in the cache, and --offline forbids to fetch it"):
        archives(tmp_path, offline=True).get(wheel(f"{site.url}/simple/{NAME}"))
    assert site.paths == []


def test_mirrors_of_the_workspace_are_used(site: Site, tmp_path: Path) -> None:
    """Pixi's configuration beside the workspace holds here too."""
    config = tmp_path / ".pixi" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'[mirrors]\n"https://far.example.org/simple" = ["{site.url}/simple"]\n')
    package = wheel(f"https://far.example.org/simple/{NAME}")
    assert archives(tmp_path).get(package).path.read_bytes() == DATA


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    """What cannot be read is an error, not ignored."""
    config = tmp_path / ".pixi" / "config.toml"
    config.parent.mkdir()
    config.write_text("[mirrors\n")
    with pytest.raises(FetchError, match="reading Pixi's configuration"):
        archives(tmp_path).get(wheel("https://far.example.org/x.whl"))
