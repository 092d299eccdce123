"""``PATH[:DEST]`` is read one way, and a DEST that an image or its base needs is refused."""

from __future__ import annotations

import pytest

from pixi_ship.errors import UsageError
from pixi_ship.project.include import Include, parse_include


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("src", Include("src", None)),
        (".", Include(".", None)),
        ("data/*.csv", Include("data/*.csv", None)),
        ("a:b", Include("a", "app/b")),
        ("a:b/", Include("a", "app/b", into=True)),
        ("a:.", Include("a", "app", into=True)),
        ("a:./x//y", Include("a", "app/x/y")),
        ("a:/opt/x", Include("a", "opt/x")),
        ("a:b:c", Include("a:b", "app/c")),
        ("a:b:", Include("a:b", None)),
        ("/data/x:x", Include("/data/x", "app/x")),
        ("a:.pixie", Include("a", "app/.pixie")),
        ("a:/usr/lib/x", Include("a", "usr/lib/x")),
    ],
)
def test_forms(text: str, want: Include) -> None:
    assert parse_include(text) == want


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("", "names no path"),
        (":b", "names no path"),
        ("a\0b", "names no path"),
        ("a:../b", "must not climb"),
        ("a:/app/../etc", "must not climb"),
        ("a:/", "the root of the image"),
        ("a:.pixi", "holds the environment"),
        ("a:.pixi/envs/default/bin", "holds the environment"),
        ("a:/app//.pixi/x", "holds the environment"),
        ("a:/proc/x", "/proc is not the project's"),
        ("a:/sys", "/sys is not the project's"),
        ("a:/dev/null", "/dev is not the project's"),
        ("a:entrypoint.sh", "/app/entrypoint.sh is not the project's"),
        ("a:/.singularity.d/env/x", "/.singularity.d is not the project's"),
        ("a:/lib/x", "/lib is a link in most bases"),
        ("a:/bin", "/bin is a link in most bases"),
        ("a:/var/run/x", "/var/run is a link in most bases"),
    ],
)
def test_refused(text: str, want: str) -> None:
    with pytest.raises(UsageError, match="--include") as caught:
        parse_include(text)
    assert want in str(caught.value)
