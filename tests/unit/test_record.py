"""`conda-meta` records: no secrets, and addresses that conda's tools can read."""

from __future__ import annotations

import json

import pytest

from pixi_ship.prefix.record import prefix_record

METADATA = {"name": "a", "version": "1", "build": "0"}


def written(url: str, channel: str = "https://example.org/c/") -> dict[str, object]:
    metadata = {**METADATA, "channel": channel, "url": url}
    document: dict[str, object] = json.loads(
        prefix_record(metadata, [], file_name="a-1-0.conda", url=url)
    )
    return document


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("https://example.org/c/noarch/a-1-0.conda", "https://example.org/c/noarch/a-1-0.conda"),
        ("/data/a b/a-1-0.conda", "file:///data/a%20b/a-1-0.conda"),
        ("./packages/a-1-0.conda", "file:///packages/a-1-0.conda"),
        ("../../packages/a-1-0.conda", "file:///packages/a-1-0.conda"),
    ],
)
def test_a_location_becomes_a_url(location: str, url: str) -> None:
    assert written(location)["url"] == url


@pytest.mark.parametrize(
    "channel", ["https://user:secret@example.org/c/", "https://example.org/t/secret/c/"]
)
def test_no_secret_of_the_channel_gets_in(channel: str) -> None:
    document = written(f"{channel}noarch/a-1-0.conda", channel)
    assert "secret" not in json.dumps(document)
    assert document["channel"] == "https://example.org/c/"
