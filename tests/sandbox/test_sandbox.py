"""A command in the sandbox: what it sees, what it may write, and that it ends."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from pixi_ship.errors import SandboxError
from pixi_ship.sandbox.process import Outcome, run_to_end
from pixi_ship.sandbox.sandbox import Mount, Sandbox

pytestmark = pytest.mark.hostile


@pytest.fixture
def sandbox() -> Sandbox:
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("bubblewrap is not here")
    found = Sandbox(program=program, uid=os.getuid(), gid=os.getgid())
    found.check()
    return found


def shell(
    sandbox: Sandbox,
    code: str,
    *mounts: Mount,
    timeout: float = 60,
    largest_file: int = 1 << 30,
) -> Outcome:
    return sandbox.run(
        ["/bin/sh", "-c", code],
        mounts=mounts,
        environment={"GIVEN": "1"},
        directory="/",
        timeout=timeout,
        largest_file=largest_file,
    )


def test_it_gets_the_environment_it_was_given(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "secret")
    names = {line.partition("=")[0] for line in shell(sandbox, "env").output.splitlines()}
    assert names == {"GIVEN", "HOME", "PATH", "PWD"}


def test_it_sees_what_was_mounted(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "shown").write_text("shown")
    mount = Mount(tmp_path, "/given")
    assert shell(sandbox, "cat /given/shown", mount).output == "shown"
    hidden = f"for place in {tmp_path} /root /var /srv /sys; do test ! -e $place || exit 1; done"
    assert shell(sandbox, hidden, mount).status == 0
    assert shell(sandbox, "ls -A /home/user /tmp", mount).output.split() == ["/home/user:", "/tmp:"]
    home = Path.home()
    assert shell(sandbox, f"ls -A {home}").status or not any(home.iterdir())
    assert shell(sandbox, "ls /etc/ssl/private /etc/pki/tls/private").status
    assert shell(sandbox, "cat /etc/shadow /etc/resolv.conf").output.count("No such file") == 2


def test_it_writes_where_it_may_and_nowhere_else(sandbox: Sandbox, tmp_path: Path) -> None:
    for each in ("kept", "shown"):
        (tmp_path / each).mkdir()
    mounts = (Mount(tmp_path / "kept", "/kept", writable=True), Mount(tmp_path / "shown", "/shown"))
    for place in ("/shown", "/usr", "/etc", "/", "/new/place", "/build"):
        done = shell(sandbox, f"mkdir -p {place} && touch {place}/planted", *mounts)
        assert done.status, f"{place} could be written to"
    for place in ("/kept", "/tmp", "$HOME", "/dev/shm"):
        assert shell(sandbox, f"touch {place}/written", *mounts).status == 0
    assert [path.name for path in tmp_path.rglob("*")].count("written") == 1
    assert not Path("/tmp/written").exists()


def test_files_are_made_by_a_fixed_umask(sandbox: Sandbox, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        shell(sandbox, "touch /kept/file", Mount(tmp_path, "/kept", writable=True))
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_it_has_no_network_and_no_process_of_others(sandbox: Sandbox) -> None:
    assert shell(sandbox, "cat /proc/net/dev").output.count(":") == 1, "only the loopback"
    assert shell(sandbox, f"ls /proc/{os.getpid()}/environ").status
    assert int(shell(sandbox, "ls -d /proc/[0-9]* | wc -l").output) < 6


def test_it_holds_no_capability(sandbox: Sandbox) -> None:
    assert "CapEff:\t0000000000000000" in shell(sandbox, "cat /proc/self/status").output


@pytest.mark.parametrize("code", ["sleep 600", "trap '' TERM INT HUP; while :; do :; done"])
def test_it_ends_in_time(sandbox: Sandbox, code: str) -> None:
    assert shell(sandbox, code, timeout=1).timed_out


def test_what_it_started_is_gone_when_it_returns(sandbox: Sandbox, tmp_path: Path) -> None:
    """A process that writes on until it is ended would be seen to."""
    code = "setsid sh -c 'while :; do echo x >> /kept/log; done' & sleep 0.2"
    shell(sandbox, code, Mount(tmp_path, "/kept", writable=True))
    size = (tmp_path / "log").stat().st_size
    threading.Event().wait(0.3)
    assert (tmp_path / "log").stat().st_size == size > 0


def test_the_end_of_its_output_is_kept(sandbox: Sandbox) -> None:
    done = shell(sandbox, "yes | head -c 3000000; echo end >&2; exit 7")
    assert done.status == 7
    assert done.output.endswith("y\nend\n")
    assert len(done.output) == 64 << 10


def test_a_file_has_a_largest_size(sandbox: Sandbox, tmp_path: Path) -> None:
    mount = Mount(tmp_path, "/kept", writable=True)
    assert shell(
        sandbox, "exec head -c 9000000 /dev/zero > /kept/f", mount, largest_file=1 << 20
    ).status
    assert (tmp_path / "f").stat().st_size <= 1 << 20


def test_another_root(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("someone")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "usr").mkdir()
    bare = Sandbox(program=sandbox.program, root=tmp_path, uid=0, gid=0)
    mounts = [Mount(Path("/usr"), "/usr")]
    mounts += [Mount(Path(each), each) for each in ("/lib64", "/lib") if Path(each).is_dir()]
    words = ["/usr/bin/cat", "/etc/passwd"]
    done = bare.run(words, mounts=mounts, environment={}, directory="/")
    assert done.output == "someone"


def test_a_program_that_is_no_bubblewrap(tmp_path: Path) -> None:
    gone = Sandbox(program=str(tmp_path / "bwrap"), uid=0, gid=0)
    with pytest.raises(SandboxError, match=r"starting .*bwrap: No such file") as raised:
        gone.check()
    assert raised.value.hint == "install bubblewrap"
    refusing = tmp_path / "refusing"
    refusing.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    with pytest.raises(SandboxError, match="No permissions") as raised:
        Sandbox(program=str(refusing), uid=0, gid=0).check()
    assert "user namespaces" in str(raised.value.hint)


def test_unconfined_a_group_ends_with_its_leader(tmp_path: Path) -> None:
    words = ["/bin/sh", "-c", f"sleep 600 & echo $! > {tmp_path}/child; echo done"]
    done = run_to_end(
        words, environment={"PATH": "/usr/bin:/bin"}, timeout=60, largest_file=1 << 20
    )
    assert (done.status, done.output) == (0, "done\n")
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return
        threading.Event().wait(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the child outlived the command")
