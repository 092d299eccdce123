"""Post-link scripts, where a person asks for them: what they change below the prefix is a layer,
the same bytes each time; beyond the prefix they change nothing, and a failure ends the build.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pixi_ship.machine import Machine

from ..channel.conda_package import Entry, File, Link
from ..conftest import SHARED
from ..tiny import ship
from .conftest import BASE, PREFIX, Activating, Made, Shell

BELOW = PREFIX[1:]


def link_script(text: str, name: str = "thing") -> File:
    return File(f"bin/.{name}-post-link.sh", text.encode(), 0o755)


def lock(work: Activating, text: str, *entries: Entry) -> Path:
    archive = work.package("thing", link_script(text), *entries)
    work.lock(archive)
    return archive


def layer_of(made: Made) -> dict[str, tarfile.TarInfo]:
    """The members of the layer before the last."""
    manifest = made.document(made.ran.digest)
    data = made.blob(manifest["layers"][-2]["digest"])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar if not member.isdir()}


CHANGES = """#!/bin/bash
cd "$PREFIX"
mkdir -p share/new; echo "made by $PKG_NAME $PKG_VERSION $PKG_BUILDNUM" >share/new/file
ln -s file share/new/link
echo more >>share/changed
rm share/removed
chmod +x share/mode
mv share/kept share/x && mv share/x share/kept
echo "see share/new" >.messages.txt
"""


def test_what_a_script_changes_is_a_layer(work: Activating) -> None:
    files = [File(f"share/{name}", b"old\n") for name in ("changed", "removed", "mode", "same")]
    lock(work, CHANGES, *files, File("share/kept", b"kept\n"))
    made = work.made("--run-link-scripts", "thing")
    found = layer_of(made)
    want = {"changed", "mode", "new/file", "new/link", ".wh.removed"}
    assert {path.removeprefix(f"{BELOW}/share/") for path in found} - {"kept"} == want
    assert found[f"{BELOW}/share/mode"].mode == 0o755
    assert found[f"{BELOW}/share/new/link"].linkname == "file"
    assert {(each.uid, each.gid, each.mtime) for each in found.values()} == {(0, 0, 315532800)}
    assert made.warnings == ["thing: its post-link script says: see share/new"]
    seen = Shell(made, work.cache)("cd $CONDA_PREFIX/share && ls && cat changed new/link")
    assert seen.split() == [
        *("changed", "kept", "mode", "new", "same", "old", "more"),
        *("made", "by", "thing", "1.0", "0"),
    ]


def test_once_run_it_is_known(work: Activating, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = lock(work, "#!/bin/sh\necho x >$PREFIX/made; echo hello >$PREFIX/.messages.txt\n")
    words = ("--run-link-scripts", "thing")
    first = work.made(*words)
    archive.unlink()
    monkeypatch.setattr("pixi_ship.activation.link_scripts._run", None)
    again = work.made(*words)
    assert again.ran.digest == first.ran.digest
    assert again.warnings == first.warnings
    planned = ship(
        *("plan", "-w", work.work, "--base", f"oci:{BASE}:bookworm"),
        *("--cache-dir", work.cache, "--json", *words),
    )
    assert planned.image["digest"] == first.ran.digest
    assert work.made().ran.digest != first.ran.digest


def test_the_same_bytes_with_an_empty_cache(work: Activating, tmp_path: Path) -> None:
    lock(work, "#!/bin/sh\nfor x in c a b; do echo $x >$PREFIX/$x; done; umask >$PREFIX/umask\n")
    first = work.made("--run-link-scripts", "thing").ran.digest
    work.kept = tmp_path / "other-cache"
    assert work.made("--run-link-scripts", "thing").ran.digest == first


def test_it_can_be_verified(work: Activating) -> None:
    lock(work, "#!/bin/sh\necho x >$PREFIX/made\n")
    work.made("--run-link-scripts", "thing")
    proven = ship(
        *("verify", f"oci:{work.output}:t", "--base", f"oci:{BASE}:bookworm"),
        *("-w", work.work, "--cache-dir", work.cache),
    )
    assert proven.status == 0, proven.err


def test_scripts_run_in_link_order_on_what_they_depend_on(work: Activating) -> None:
    text = "#!/bin/sh\nls $PREFIX/share >$PREFIX/seen-by-$PKG_NAME; : >$PREFIX/share/of-$PKG_NAME\n"
    one = work.package("one", link_script(text, "one"), File("share/one", b""))
    two = work.package("two", link_script(text, "two"), File("share/two", b""))
    work.lock(one, two, work.package("other", File("share/other", b"")))
    work.depend({"two": ["one"]})
    made = work.made("--run-link-scripts", "two", "--run-link-scripts", "one")
    seen = Shell(made, work.cache)("cd $CONDA_PREFIX; echo $(cat seen-by-one) / $(cat seen-by-two)")
    assert seen == "one two / of-one one two"


def test_a_name_without_a_script(work: Activating) -> None:
    work.lock(work.package("thing", link_script("#!/bin/sh\n")), work.package("plain"))
    ran = ship(*work.words("--run-link-scripts", "plain"))
    assert (ran.status, ran.err) == (
        2,
        "error: --run-link-scripts plain: environment 'default' has no such package with a "
        "post-link script\n  hint: there are: thing\n",
    )


def test_without_being_asked_nothing_is_run(work: Activating) -> None:
    lock(work, "#!/bin/sh\necho x >$PREFIX/made\n")
    made = work.made()
    assert made.warnings == [
        "thing-1.0-h0000000_0.conda: its post-link script bin/.thing-post-link.sh is not run"
    ]
    assert f"{BELOW}/made" not in layer_of(made)


HOSTILE = {
    "fails": ("echo one; echo two >&2; exit 3", "status 3\n  one\n  two"),
    "writes elsewhere": ("set -e; echo x >/etc/x", "status 1"),
    "writes to /app": ("set -e; echo x >/app/x", "status 1"),
    "leaves a pipe": ("mkfifo $PREFIX/pipe", "'pipe', which is neither a file nor a link"),
    "leaves a socket": (
        "python3 -c 1 || exec 3<>/dev/null; mkfifo $PREFIX/a",
        "'a', which is neither a file nor a link",
    ),
    "hides files": (": >$PREFIX/.wh.bin", "'.wh.bin', a name that hides others in a layer"),
    "odd name": (": >$PREFIX/$(printf '\\377')", "whose name is no UTF-8"),
    "colours": ("printf '\\033[1m'; exit 1", "status 1\n  ?[1m"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_script_that_may_not_do_what_it_does(work: Activating, case: str) -> None:
    text, why = HOSTILE[case]
    lock(work, f"#!/bin/sh\n{text}\n")
    ran = ship(*work.words("--run-link-scripts", "thing"))
    assert ran.status == 1
    assert ran.err.startswith("error: running ")
    assert why in ran.err
    assert not work.output.exists()
    assert list((work.cache / "prefixes").iterdir()) == []


def test_links_out_of_the_prefix_are_links(work: Activating, tmp_path: Path) -> None:
    """What a link of a script leads to on this machine is neither read nor written."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    text = f"#!/bin/sh\nln -s {tmp_path} $PREFIX/out; ln -s {secret} $PREFIX/.messages.txt\n"
    lock(work, text, Link("share/up", str(tmp_path)))
    made = work.made("--run-link-scripts", "thing")
    found = layer_of(made)
    assert found[f"{BELOW}/out"].issym()
    assert made.warnings == []
    assert not [path for path in found if "secret" in path]


def test_where_nothing_can_be_run(work: Activating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixi_ship.cli.options.machine_here", lambda **given: Machine())
    lock(work, "#!/bin/sh\n:\n")
    ran = ship(*work.words("--run-link-scripts", "thing"))
    assert ran.status == 1
    assert ran.err.startswith("error: running the post-link scripts of thing: this machine does ")


REAL = {
    "link-scripts": "rattler/link-scripts/link-scripts-0.1.0-h4616a5c_0.conda",
    "post-link-script-package": "pixi/post_link_script_channel/linux-64/"
    "post-link-script-package-0.1.0-hb0f4dca_0.conda",
}


@pytest.mark.parametrize("name", REAL)
def test_real_packages(work: Activating, name: str) -> None:
    source = SHARED / "packages" / REAL[name]
    if not source.is_file():
        pytest.skip("../shared is not here: no packages to test with")
    archive = work.channel / "linux-64" / source.name
    archive.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, archive)
    work.lock(archive)
    made = work.made("--run-link-scripts", name)
    found: dict[str, Any] = layer_of(made)
    assert found or made.warnings
    if name == "link-scripts":
        assert f"{BELOW}/i-was-post-linked" in found
