"""A connection to a real sshd: opened once for many, private, and clear about what goes wrong.

Words arrive as they are, whatever login shell is there; a connection that breaks is told from a
command that fails.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pixi_ship.errors import SchedulerError
from pixi_ship.host import script
from pixi_ship.host.commands import HostCommands
from pixi_ship.host.connection import Connection, HostError, make_private
from pixi_ship.host.host import Host

from .cluster import NAME, SYSTEM, Cluster, eventually, script_words

WORDS = [
    *("two words", "it's", '"q"', "$HOME", "$(id)", "`id`", "a\nb", "ü→", "", "-x", "--", "\\"),
    *(
        "\\\\",
        "a\\'b",
        "#",
        "*",
        "~",
        "!",
        "!!",
        "{a,b}",
        "%d",
        "a;b",
        "&",
        "\t",
        "^",
        "(id)",
        "\\n",
    ),
]


def masters(cluster: Cluster) -> int:
    """How many times a connection was opened."""
    return sum(" -M " in line for line in cluster.called("ssh"))


def test_words_arrive_unchanged(cluster: Cluster) -> None:
    said = HostCommands(cluster.host()).output(script_words(WORDS))
    assert json.loads(said) == WORDS


@pytest.mark.parametrize("shell", ["bash", "dash", "fish", "tcsh"])
def test_any_login_shell(stopped: Cluster, shell: str, tmp_path: Path) -> None:
    """Of words, of files' names that are brought, and of files that are sent."""
    if shutil.which(shell) is None:
        pytest.skip(f"not on this machine: {shell}")
    stopped.start(f'ForceCommand exec {shell} -c "$SSH_ORIGINAL_COMMAND"')
    host = stopped.host()
    assert json.loads(HostCommands(host).output(script_words(WORDS))) == WORDS
    there = stopped.home / "it's a $HOME; !x"
    there.mkdir()
    (there / "exit-code").write_text("0\n")
    host.bring(str(there), tmp_path, "- /other\0")
    assert (tmp_path / "exit-code").read_text() == "0\n"


def test_one_connection_for_many_processes(cluster: Cluster) -> None:
    """Each object below stands for a process; the socket is in a directory for one user."""
    for _ in range(3):
        assert cluster.host().run("echo here")[:2] == (0, "here\n")
    assert masters(cluster) == 1
    for directory in (cluster.near / "sockets", *(cluster.near / "sockets").iterdir()):
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not any("BatchMode" in line for line in cluster.called("ssh")), "passwords are asked for"


def test_processes_that_come_at_once_open_one(cluster: Cluster) -> None:
    cluster.know(cluster.host_key)
    threads = [threading.Thread(target=cluster.connection().open) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert masters(cluster) == 1


def test_a_passphrase_is_typed_once(cluster: Cluster) -> None:
    """By a person at a terminal; a process without one goes on by the same connection."""
    change = ("ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f")
    key = cluster.near / "key"
    key.write_bytes(cluster.user_key.read_bytes())
    key.chmod(0o600)
    subprocess.run([*change, key], check=True, stdout=subprocess.DEVNULL)
    config = cluster.near / "ssh_config"
    config.write_text(config.read_text().replace(str(cluster.user_key), str(key)))
    pid, terminal = pty.fork()
    if pid == 0:
        connection = Connection(NAME, cluster.environment, cluster.near / "sockets", terminal=True)
        try:
            connection.open()
        finally:
            os._exit(0 if connection._answers(connection.words) else 1)
    asked = b""
    while b"passphrase" not in asked:
        asked += os.read(terminal, 1000)
    os.write(terminal, b"open sesame\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert cluster.host().run("echo here")[:2] == (0, "here\n")
    assert masters(cluster) == 1


def test_a_socket_that_a_dead_connection_left(cluster: Cluster) -> None:
    first = cluster.host()
    first.run("true")
    (socket,) = (cluster.near / "sockets").glob("*/s")
    cluster.connection().close()
    socket.touch()
    assert cluster.host().run("echo here")[:2] == (0, "here\n")


@pytest.mark.parametrize("status", [1, 3, 126, 255])
def test_a_command_that_fails(cluster: Cluster, status: int) -> None:
    """Also one whose status is what ssh ends with where it fails itself."""
    commands = HostCommands(cluster.host())
    words = ("sh", "-c", f"echo why >&2; exit {status}")
    with pytest.raises(SchedulerError, match=f"sh on {NAME} failed with status {status}: why") as e:
        commands.output(words)
    assert not isinstance(e.value, HostError)
    assert commands.attempt(words) is None


def test_a_command_that_is_not_there(cluster: Cluster) -> None:
    with pytest.raises(SchedulerError, match=f"there is no condor_q on {NAME}") as error:
        HostCommands(cluster.host()).output(("condor_q",))
    assert "--host" in str(error.value.hint)


def test_a_command_that_only_a_login_shell_finds(stopped: Cluster) -> None:
    stopped.start(path=SYSTEM)
    (stopped.home / ".profile").write_text(f'PATH="$PATH:{stopped.programs}"\necho welcome >&2\n')
    stopped.add("sinfo", 'echo "$#: $1"')
    assert HostCommands(stopped.host()).output(("sinfo", "a b")) == "1: a b\n"


def test_a_connection_that_is_cut(cluster: Cluster) -> None:
    """Nobody may take it for the answer that there is no such job; and the next one goes on."""
    host = cluster.host()
    commands = HostCommands(host)
    commands.output(("true",))
    found: list[BaseException] = []

    def ask() -> None:
        try:
            commands.attempt(("sh", "-c", f"touch {cluster.state}/begun; exec sleep 60"))
        except HostError as error:
            found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    eventually((cluster.state / "begun").exists)
    assert cluster.cut()
    thread.join(30)
    (error,) = found
    assert f"the connection to {NAME} broke" in str(error)
    assert commands.output(("echo", "again")) == "again\n"
    assert masters(cluster) == 2


def test_a_host_that_goes_silent(cluster: Cluster) -> None:
    host = cluster.host()
    host.run("true")
    with pytest.raises(HostError, match=f"{NAME} did not answer in 1 s"):
        host.run("exec sleep 60", 1)
    assert host.run("echo again")[:2] == (0, "again\n")


def test_nobody_listens(cluster: Cluster) -> None:
    cluster.stop()
    with pytest.raises(HostError, match=rf"connecting to {NAME}: .*Connection refused") as error:
        cluster.host().run("true")
    assert f"ssh {NAME}" in str(error.value.hint)


def test_another_host_key(cluster: Cluster, keys: tuple[Path, Path, Path]) -> None:
    cluster.know(keys[2])
    with pytest.raises(HostError, match=f"connecting to {NAME}: Host key verification failed"):
        cluster.host().run("true")
    assert not cluster.jobs.exists()


def test_a_login_that_is_refused(stopped: Cluster, keys: tuple[Path, Path, Path]) -> None:
    stopped.start(f"AuthorizedKeysFile {keys[2]}.pub")
    with pytest.raises(HostError, match=rf"connecting to {NAME}: .*Permission denied"):
        stopped.host().run("true")


def test_an_account_that_runs_nothing(stopped: Cluster) -> None:
    stopped.start("ForceCommand echo This account is not available; exit 1")
    with pytest.raises(HostError, match=f"{NAME} runs no script: This account is not available"):
        stopped.host().run("true")


@pytest.mark.parametrize("program", ["ssh", "rsync"])
def test_a_program_that_is_missing_here(cluster: Cluster, program: str, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    if program == "rsync":
        (bare / "ssh").symlink_to(cluster.near / "bin" / "ssh")
    environment = {**cluster.environment, "PATH": str(bare)}
    host = Host(Connection(NAME, environment, cluster.near / "sockets"))
    with pytest.raises(SchedulerError, match=f"there is no {program} on this machine") as error:
        host.bring("/", tmp_path, "")
    assert program in str(error.value.hint)


def test_a_shell_that_is_not_clean(stopped: Cluster, tmp_path: Path) -> None:
    """What its start-up files print would be taken for rsync's."""
    stopped.start('ForceCommand echo "Good morning to you all"; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    with pytest.raises(SchedulerError, match="prints something before rsync can speak"):
        stopped.host().bring(str(stopped.home), tmp_path, "")


def test_a_directory_that_is_open_to_others(tmp_path: Path) -> None:
    open_to_all = tmp_path / "sockets"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    with pytest.raises(HostError, match="not for this user alone"):
        make_private(open_to_all)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(HostError, match="not for this user alone"):
        make_private(link)


@pytest.mark.parametrize("wrapped", [script.whole, script.bare])
def test_a_script_that_is_cut_off_runs_nothing(wrapped: Callable[[str], str]) -> None:
    """The lines that came would do what was never meant."""
    text = wrapped("echo a\necho b")
    assert subprocess.run(["sh"], input=text, capture_output=True, text=True).stdout[:4] == "a\nb\n"
    for end in range(text.index("echo b"), len(text) - 2):
        done = subprocess.run(["sh"], input=text[:end], capture_output=True, text=True)
        assert (done.returncode != 0, done.stdout) == (True, "")
