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
from .conftest import BASE, PREFIX, Activating, Made, Shell, activate_script

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
    "odd link": ("ln -s $(printf '\\377') $PREFIX/x", "'x', a link to a path that is no UTF-8"),
    "deep": (
        "i=0; while [ $i -lt 1200 ]; do mkdir d; cd d; i=$((i + 1)); done",
        "leaves directories more than 128 deep",
    ),
    "deep by long names": (
        'n=$(printf "%0250d" 0); i=0; '
        "while [ $i -lt 40 ]; do mkdir $n; cd -P $n 2>/dev/null || cd $n; i=$((i + 1)); done",
        "leaves a path of more than 3000 bytes",
    ),
    "closed directory": (
        "mkdir -p a/b; : >a/b/c; chmod 0 a",
        "leaves 'a', a directory that even its owner cannot read",
    ),
    "closed prefix": ("chmod 0 .", "leaves 'the prefix', a directory that even its owner"),
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
    assert "thing" in ran.err.splitlines()[0]
    assert "  hint: " in ran.err
    assert not work.output.exists()
    assert list((work.cache / "prefixes").iterdir()) == []


def test_too_many_files(work: Activating, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixi_ship.activation.link_changes._MAX_ENTRIES", 50)
    lock(work, "#!/bin/bash\nmkdir $PREFIX/{1..60}\n")
    ran = ship(*work.words("--run-link-scripts", "thing"))
    assert "of thing: it leaves more than 50 files and directories" in ran.err
    monkeypatch.setattr("pixi_ship.activation.link_changes._MAX_ADDED", 50)
    lock(work, "#!/bin/bash\nhead -c 60 /dev/zero >$PREFIX/x\n")
    ran = ship(*work.words("--run-link-scripts", "thing"))
    assert "of thing: it writes 60 bytes, at most 50 are taken" in ran.err


def test_who_of_several_is_named(work: Activating) -> None:
    good, bad = ("#!/bin/sh\n: >$PREFIX/a\n", "#!/bin/sh\nmkfifo $PREFIX/b\n")
    one, two = (
        work.package(name, link_script(text, name)) for name, text in (("one", good), ("two", bad))
    )
    work.lock(one, two, work.package("end", link_script(good, "end")))
    work.depend({"two": ["one"], "end": ["two"]})
    words = [word for name in ("one", "two", "end") for word in ("--run-link-scripts", name)]
    ran = ship(*work.words(*words))
    assert ran.err.startswith("error: running the post-link script of two: it leaves 'b', ")


def test_files_that_only_their_owner_could_read(work: Activating) -> None:
    """Who is not root could read them no more; in the layer all can."""
    lock(work, "#!/bin/sh\necho x >$PREFIX/x; chmod 0 $PREFIX/x\n")
    found = layer_of(work.made("--run-link-scripts", "thing"))
    assert found[f"{BELOW}/x"].mode == 0o644


UNLIKE = """#!/bin/sh
cd $PREFIX
date >by-date; uname -r >by-kernel; id -u >by-user; uname -n >by-host
cat /proc/sys/kernel/random/boot_id >by-boot; nproc >by-number; echo $TZ >by-zone
ln -s $(id -u) by-link; : >by-mode; [ $(id -u) = 41001 ] || chmod +x by-mode
[ $(id -u) = 41001 ] || : >only-there; echo 1 >same
"""


def test_files_that_come_out_otherwise_are_named(work: Activating) -> None:
    lock(work, UNLIKE)
    made = work.made("--run-link-scripts", "thing")
    names = ("boot", "date", "host", "kernel", "link", "mode", "number", "user", "zone")
    assert made.warnings == [
        f"thing: post-link scripts give {', '.join(f'by-{each}' for each in names)}, only-there "
        "another content under another user, host or time: the image is not the same each time it "
        "is built"
    ]
    assert f"{BELOW}/only-there" not in layer_of(made)
    # What is remembered is said again.
    assert work.made("--run-link-scripts", "thing").warnings == made.warnings


def test_a_script_that_fails_elsewhere(work: Activating) -> None:
    lock(work, "#!/bin/sh\necho x >$PREFIX/x; [ $(id -u) = 41001 ]\n")
    made = work.made("--run-link-scripts", "thing")
    assert made.warnings == [
        "thing: whether the same files come out everywhere is not known: running the post-link "
        "script of thing: status 1"
    ]
    assert f"{BELOW}/x" in layer_of(made)


LINKING = """#!/bin/bash
cd "$PREFIX"
mkdir -p etc/conda/activate.d
echo 'export A=$(cat "$CONDA_PREFIX/made") B=$(ls "$CONDA_PREFIX/share")' >etc/conda/activate.d/x.sh
echo "by $PKG_NAME" >made; rm share/gone
"""


def test_activation_sees_what_scripts_made(work: Activating, tmp_path: Path) -> None:
    """When they were run just now, when their layer is remembered, and when it is gone."""
    thing = work.package(
        "thing", link_script(LINKING), File("share/gone", b""), File("share/stays", b"")
    )
    other = activate_script("other", f"export C=$(cat $CONDA_PREFIX/made) # {tmp_path}\n")
    work.lock(thing, work.package("other", other))
    work.kept = tmp_path / "cache"
    words = ("--run-link-scripts", "thing")
    first = work.made(*words)
    assert {name: first.env[name] for name in "ABC"} == {
        "A": "by thing",
        "B": "stays",
        "C": "by thing",
    }
    assert first.warnings == []
    assert Shell(first, work.cache)("echo $A, $B, $C") == "by thing, stays, by thing"
    for forgotten in ("notes/activation", "notes/activation:blobs"):
        for name in forgotten.split(":"):
            shutil.rmtree(work.cache / (name if "/" in name else "blobs"))
        assert work.made(*words).ran.digest == first.ran.digest
    proven = ship(
        *("verify", f"oci:{work.output}:t", "--base", f"oci:{BASE}:bookworm"),
        *("-w", work.work, "--cache-dir", work.cache),
    )
    assert proven.status == 0, proven.err
    assert "A" not in work.made().env


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
