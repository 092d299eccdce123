"""Credentials in addresses reach neither errors, nor config, nor layers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pixi_ship.redaction import redacted, redacted_document, redacted_text

from ..tiny import Tiny, ship

SECRETS = ("hunter2", "s3cr3t-token", "joe-user", "qu3ry")
CHANNEL = "https://joe-user:hunter2@localhost:9/t/s3cr3t-token/channel"


def assert_silent(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


def test_error_of_a_download(tiny: Tiny) -> None:
    good = tiny.good()
    url = f"{CHANNEL}/linux-64/{good.name}"
    tiny.lock(good, channel=CHANNEL, urls={good: url})
    ran = tiny.build()
    assert ran.status == 1
    assert ran.err.startswith(
        f"error: fetching {good.name} from https://localhost:9/channel/linux-64/{good.name}: "
    )
    assert ran.err.endswith("  hint: check the network and 'pixi auth', then run the same again\n")
    assert_silent(ran.err)
    tiny.assert_clean()


def test_image(tiny: Tiny) -> None:
    good = tiny.good()
    url = f"{CHANNEL}/linux-64/{good.name}"
    tiny.lock(good)
    tiny.works()  # now the archive is cached by its digest
    tiny.lock(good, channel=CHANNEL, urls={good: url})
    ran = tiny.works()
    assert_silent(ran.out + ran.err)
    for blob in (tiny.output / "blobs/sha256").iterdir():
        data = blob.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        assert_silent(data.decode("utf-8", "replace"))
    assert b"https://localhost:9/channel" in every_layer(tiny.output)


def every_layer(layout: Path) -> bytes:
    blobs = (path.read_bytes() for path in (layout / "blobs/sha256").iterdir())
    return b"".join(gzip.decompress(data) for data in blobs if data[:2] == b"\x1f\x8b")


def test_plan_of_what_cannot_be_built(tiny: Tiny) -> None:
    tiny.lock(tiny.python())
    lock = json.loads((tiny.work / "pixi.lock").read_text())
    url = f"git+https://joe-user:hunter2@host.test/repo.git?token=qu3ry#{'0123456789' * 4}"
    lock["environments"]["default"]["packages"]["linux-64"].append({"pypi": url})
    lock["packages"].append({"pypi": url, "name": "mine", "version": "1"})
    (tiny.work / "pixi.lock").write_text(json.dumps(lock))
    words = ("plan", "-w", tiny.work, "--base", "scratch", "--cache-dir", tiny.cache)
    for ran in (ship(*words), ship(*words, "--json"), tiny.build()):
        assert "mine" in ran.out + ran.err
        assert "https://host.test/repo.git" in ran.out + ran.err
        assert_silent(ran.out + ran.err)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (CHANNEL, "https://localhost:9/channel"),
        (f"no ({CHANNEL}/x?qu3ry=1) there", "no (https://localhost:9/channel/x) there"),
        (f"'{CHANNEL}'", "'https://localhost:9/channel'"),
        ("https://qu3ry@host/x", "https://host/x"),
        ("git+ssh://git@host/x", "git+ssh://git@host/x"),
        ("ssh://git:hunter2@host/x", "ssh://git@host/x"),
        ("https://host/t/s3cr3t-token", "https://host"),
        ("https://host/x", "https://host/x"),
        ("a /t/b and user@host", "a /t/b and user@host"),
    ],
)
def test_redacted_text(text: str, want: str) -> None:
    assert redacted_text(text) == want


def test_redacted_document_changes_nothing_else() -> None:
    text = 'a = "https://host/x?y=1#z"\nb = "git+ssh://git@host/r?rev=1"\nc = "me@host"\n'
    assert redacted_document(text) == text


def test_redacted_location() -> None:
    assert redacted(f"{CHANNEL}/a.conda?x=qu3ry#f") == "https://localhost:9/channel/a.conda"
    assert redacted("../a.whl") == "../a.whl"
