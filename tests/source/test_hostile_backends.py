"""Build backends that mean harm: they see no secret, reach nothing, and end when they must."""

from __future__ import annotations

import os
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pixi_ship.errors import PixiShipError, SandboxError, SourceError
from pixi_ship.lock.model import PypiPackage
from pixi_ship.sandbox import process
from pixi_ship.source.wheels import Workshop, build_facts, built_wheel

from .conftest import SECRET, unconfined
from .projects import FLITTED, directory, hostile, write

pytestmark = pytest.mark.hostile


def build(workshop: Workshop, code: str, **more: str) -> PypiPackage:
    return built_wheel(directory(workshop.root, "hostile", hostile(code, also=more)), workshop)


def refused(workshop: Workshop, code: str, match: str, **more: str) -> PixiShipError:
    with pytest.raises(SourceError, match=match) as raised:
        build(workshop, code, **more)
    assert "Traceback" not in str(raised.value).split("\n")[0]
    assert not list((workshop.cache.root / "archives").glob("*"))
    assert list((workshop.cache.root / "tmp").iterdir()) == [], "a temporary file is left"
    return raised.value


def content(workshop: Workshop, wheel: PypiPackage) -> str:
    with zipfile.ZipFile(workshop.archives.get(wheel).path) as archive:
        return archive.read("hostile.py").decode()


def test_it_finds_no_secret_in_files_or_variables(workshop: Workshop) -> None:
    write(workshop.root, {"secret-beside-the-project": SECRET})
    code = f"""
found = [str(dict(os.environ))]
for place in ({workshop.environment["HOME"]!r}, {str(workshop.root)!r}, "/root", "/home", "/proc"):
    for directory, _, names in os.walk(place):
        for name in names:
            if name in ("environ", "cmdline", "mountinfo") or "secret" in name:
                try:
                    found.append(open(os.path.join(directory, name), errors="replace").read())
                except OSError:
                    pass
return make(wheel_directory, data="\\n".join(found))
"""
    seen = content(workshop, build(workshop, code))
    assert "SOURCE_DATE_EPOCH" in seen, "it has looked"
    assert SECRET not in seen
    assert "PLANTED" not in seen
    assert "UV_FIND_LINKS" not in seen


def test_it_writes_nowhere_but_to_its_own_directories(workshop: Workshop) -> None:
    project = workshop.root / "hostile"
    code = f"""
written = []
for place in ("/etc", "/usr", "/", {str(project)!r}, {str(workshop.cache.root)!r}, "/build/env",
              "/home/user", "/tmp", "/build/source"):
    try:
        with open(place + "/planted-by-a-build", "w") as file:
            file.write("x")
        written.append(place)
    except OSError:
        pass
return make(wheel_directory, data=" ".join(written))
"""
    wheel = build(workshop, code)
    assert content(workshop, wheel).split() == ["/home/user", "/tmp", "/build/source"]
    for place in ("/etc", "/usr", "/", "/tmp", str(project), str(Path.home())):
        assert not Path(place, "planted-by-a-build").exists()
    assert build_facts(wheel, workshop.cache).left == ("~/planted-by-a-build",)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A server on this machine that notes who comes."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, who = server.accept()
                except OSError:
                    return
                came.append(who)
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    ("allowed", "offline", "reaches"),
    [(False, False, False), (True, False, True), (True, True, False), (False, True, False)],
)
def test_it_has_a_network_only_where_it_was_given_one(
    workshop: Workshop,
    listener: tuple[int, list[object]],
    allowed: bool,
    offline: bool,
    reaches: bool,
) -> None:
    port, came = listener
    code = f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {port}), 5).recv(1)
except OSError:
    pass
return make(wheel_directory)
"""
    build(replace(workshop, build_network=allowed, offline=offline), code)
    assert bool(came) is reaches


def test_a_build_that_wants_the_network_says_how(workshop: Workshop) -> None:
    code = "import socket\nsocket.create_connection(('192.0.2.1', 80), 5)"
    error = refused(workshop, code, "build_wheel failed")
    assert "--build-network" in str(error.hint)


@pytest.mark.parametrize("confined", [True, False])
def test_one_that_never_ends_is_ended(workshop: Workshop, confined: bool) -> None:
    shop = workshop if confined else unconfined(workshop)
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass"
    refused(replace(shop, timeout=3), code, "did not end within 3 seconds")


def processes(marker: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if marker.encode() in words and b"pytest" not in words:
            found.append(place.name)
    return found


@pytest.mark.parametrize("fails", [False, True])
def test_a_process_that_it_leaves_running_is_gone(workshop: Workshop, fails: bool) -> None:
    marker = f"left-by-{workshop.root.parent.name}"
    code = f"""
import subprocess
subprocess.Popen(["sh", "-c", "sleep 600; : {marker}"], start_new_session=True)
open("/build/source/running", "w").write(open("/proc/self/status").read())
{"raise SystemExit(3)" if fails else "return make(wheel_directory)"}
"""
    if fails:
        refused(workshop, code, "failed with status")
    else:
        build(workshop, code)
    assert processes(marker) == []


def test_output_is_bounded_and_plain(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    code = r"""
for _ in range(20000):
    print("x" * 1000)
print("\x1b[31mred\x1b[0m and \x07 bell \u202e turned")
print("fetching https://me:hunter2@example.org/x?token=hunter3")
sys.exit(1)
"""
    error = refused(workshop, code, "build_wheel failed")
    text = str(error)
    assert "red and" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "hunter" not in text
    assert len(text) < 10_000
    monkeypatch.setattr(process, "_MAX_OUTPUT", 1 << 20)
    refused(workshop, code, "printed more than a build may")


@pytest.mark.parametrize(
    ("code", "match"),
    [
        ("return make(wheel_directory, name='other')", "the wheel is one of \\['other'\\]"),
        ("return make(wheel_directory, version='x.y')", "Invalid"),
        ("return make(wheel_directory, files={'../../evil': 'x'})", "climbs out"),
        ("return make(wheel_directory, files={'/evil': 'x'})", "absolute"),
        ("return make(wheel_directory, files={'a//b': 'x'})", "not plain"),
        ("return make(wheel_directory, files={'lib.so': '\\x7fELF broken'})", "lib.so"),
        ("return make(wheel_directory, file_name='hostile-1.0-cp27-none-any.whl')", "fit"),
        ("return make(wheel_directory, file_name='hostile-1.0-py3-none-win_amd64.whl')", "fit"),
        ("return make(wheel_directory, file_name='hostile-2.0-py3-none-any.whl')", "by its name"),
        ("return make(wheel_directory, file_name='nonsense.whl')", "Invalid wheel filename"),
        ("return make(wheel_directory) and '../source/backend.py'", "no file of its own"),
        ("return make(wheel_directory) and '/etc/passwd'", "no file of its own"),
        ("return make(wheel_directory) and 'gone.whl'", "no file of its own"),
        ("return 3", "it cannot build_wheel"),
        ("return None", "it cannot build_wheel"),
        ("open(wheel_directory + '/hostile-1.0-py3-none-any.whl', 'w').write('x')\n"
         "return 'hostile-1.0-py3-none-any.whl'", "damaged"),
        ("os.symlink('/etc/passwd', wheel_directory + '/hostile-1.0-py3-none-any.whl')\n"
         "return 'hostile-1.0-py3-none-any.whl'", "no file of its own"),
        ("os.mkfifo(wheel_directory + '/hostile-1.0-py3-none-any.whl')\n"
         "return 'hostile-1.0-py3-none-any.whl'", "no file of its own"),
        ("os.chmod('/build/source', 0)\nos.mkdir('/tmp/x', 0)\nsys.exit(1)", "failed"),
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("os.kill(os.getpid(), 9)", "failed with status"),
        ("return 'a\\0b.whl'", "it cannot build_wheel"),
        ("return '\\ud800.whl'", "it cannot build_wheel"),
        ("return make(wheel_directory) and 'x' * 5000", "no file of its own"),
        ("return make(wheel_directory, file_name=os.fsdecode(b'\\xff.whl'))", "its name is"),
        ("print('bwrap: No permissions to create new namespace')\nsys.exit(1)", "No permissions"),
    ],
)  # fmt: skip
def test_what_is_not_the_wheel_is_refused(workshop: Workshop, code: str, match: str) -> None:
    refused(workshop, code, match)


MEMBER = """
file_name = make(wheel_directory, files={{"x.bin": "x" * 100}})
path = os.path.join(wheel_directory, file_name)
with open(path, "rb") as file:
    data = bytearray(file.read())
at = data.index(b"x.bin") - 30
central = data.rindex(b"x.bin") - 46
{change}
with open(path, "wb") as file:
    file.write(data)
return file_name
"""


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("data[at + 6] |= 1; data[central + 8] |= 1", "encrypted"),
        ("data[at + 8] = data[central + 10] = 14", "the wheel is damaged"),  # LZMA
        ("data[at + 8] = data[central + 10] = 12", "the wheel is damaged"),  # bzip2
        ("data[at + 8] = data[central + 10] = 99", "compression method"),
        ("data[central + 42:central + 46] = b'\\xff' * 4", "damaged"),
        (
            "data[at + 8] = data[central + 10] = 14\n"
            "data[at + 35:at + 44] = b'\\t\\4\\5\\0]\\0\\0\\1\\0'",
            "Corrupt input data",
        ),
    ],
)
def test_members_that_cannot_be_read(workshop: Workshop, change: str, match: str) -> None:
    refused(workshop, MEMBER.format(change=change), match)


ANSWER = """
import atexit
place = [each for each in sys.argv if each.startswith("/build/hook")][-1]
def spoil():
    os.remove(place + "/output.json")
    {spoil}
atexit.register(spoil)
return make(wheel_directory)
"""


@pytest.mark.parametrize(
    "spoil",
    [
        "os.symlink('/etc/passwd', place + '/output.json')",
        "os.symlink('/dev/zero', place + '/output.json')",
        "os.mkfifo(place + '/output.json')",
        "open(place + '/output.json', 'w').write('[' * 100000)",
        "open(place + '/output.json', 'w').write(' ' * (2 << 20))",
        "open(place + '/output.json', 'w').write('{}')",
        "pass",
    ],
)
def test_an_answer_that_is_none(workshop: Workshop, spoil: str) -> None:
    refused(workshop, ANSWER.format(spoil=spoil), "building hostile")


@pytest.mark.parametrize(
    ("manifest", "match"),
    [
        ('requires = []\nbuild-backend = "b"\nbackend-path = [".."]', "inside source tree"),
        ('requires = []\nbuild-backend = "b"\nbackend-path = ["/etc"]', "relative"),
        ('requires = ["--index-url=http://127.0.0.1"]', "is no requirement"),
        ('requires = ["x\\n--pre"]', "is no requirement"),
        ('requires = ["x @ file:///etc/passwd"]', "is no package of an index"),
        ('requires = ["x @ git+https://example.org/x"]', "is no package of an index"),
        (
            'requires = ["x @ https://example.org/x-1-py3-none-any.whl"]',
            "is no package of an index",
        ),
        ("requires = [\"x; extra == '\\u0000'\"]", "is no requirement"),
        ('requires = ["not-in-any-index"]', "not-in-any-index"),
        ("requires = 3", "array of strings"),
        ("", "requires"),
        ("broken", "pyproject.toml"),
        pytest.param("x = " + "[" * 5000, "it cannot read", id="nested"),
    ],
)
def test_a_build_system_that_leads_elsewhere(workshop: Workshop, manifest: str, match: str) -> None:
    files = {"pyproject.toml": f"[build-system]\n{manifest}\n", "b.py": ""}
    with pytest.raises(SourceError, match=match):
        built_wheel(directory(workshop.root, "hostile", files), workshop)


def test_a_manifest_that_is_a_link_is_not_followed(workshop: Workshop) -> None:
    files = {"real.toml": FLITTED["pyproject.toml"], "flitted.py": FLITTED["flitted.py"]}
    source = directory(workshop.root, "flitted", files)
    (workshop.root / "flitted" / "pyproject.toml").symlink_to("real.toml")
    with pytest.raises(SourceError, match=r"pyproject\.toml that is a file"):
        built_wheel(source, workshop)


@pytest.mark.parametrize(
    ("swap", "match", "confined"),
    [
        ("os.mkfifo('pyproject.toml')", "pyproject.toml that is a file", True),
        ("os.mkfifo('pyproject.toml')", "pyproject.toml that is a file", False),
        ("os.mkdir('pyproject.toml')", "pyproject.toml that is a file", True),
        ("os.symlink('/dev/zero', 'pyproject.toml')", "pyproject.toml that is a file", True),
        (
            "import shutil; shutil.rmtree(place); open(place, 'w').close()",
            "it cannot build_wheel:\n.*Not a directory",
            False,
        ),
    ],
)
def test_a_manifest_that_a_hook_swaps(
    workshop: Workshop, swap: str, match: str, confined: bool
) -> None:
    """Each hook reads it again; a pipe in its place would be waited for."""
    files = dict(hostile("return make(wheel_directory)"))
    files["backend.py"] += f"""
def get_requires_for_build_wheel(settings=None):
    place = os.getcwd()
    os.remove("pyproject.toml")
    {swap}
    return []
"""
    shop = workshop if confined else unconfined(workshop)
    with pytest.raises(SourceError, match=match):
        built_wheel(directory(workshop.root, "hostile", files), shop)


def test_a_pipe_for_a_manifest_is_not_waited_for(workshop: Workshop) -> None:
    source = directory(workshop.root, "flitted", {"flitted.py": FLITTED["flitted.py"]})
    os.mkfifo(workshop.root / "flitted" / "pyproject.toml")
    with pytest.raises(SourceError, match="flitted"):
        built_wheel(source, workshop)


def test_what_says_that_it_is_bwrap_gets_no_other_hint(workshop: Workshop) -> None:
    """Whoever prints it would have the next build run with the caller's rights."""
    error = refused(workshop, "print('bwrap: no namespaces')\nsys.exit(1)", "build_wheel failed")
    assert "--no-sandbox" not in str(error.hint)


def test_a_machine_without_namespaces_is_told_so(workshop: Workshop, tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no namespaces here'\nexit 1\n")
    broken.chmod(0o755)
    assert workshop.sandbox is not None
    source = directory(workshop.root, "flitted", FLITTED)
    with pytest.raises(SandboxError, match="building flitted in a sandbox") as raised:
        built_wheel(
            source, replace(workshop, sandbox=replace(workshop.sandbox, program=str(broken)))
        )
    assert "--no-sandbox" in str(raised.value.hint)


def test_a_home_that_goes_on_for_ever(workshop: Workshop) -> None:
    code = """
home = os.environ["HOME"]
os.mkdir(home + "/" + os.fsdecode(b"a\\xff\\x1b[31m"))
open(home + "/" + os.fsdecode(b"a\\xff\\x1b[31m/file"), "w").close()
os.chdir(home)
for _ in range(1500):
    os.mkdir("deeper")
    os.chdir("deeper")
os.mkdir("closed", 0)
return make(wheel_directory)
"""
    wheel = build(workshop, code)
    assert build_facts(wheel, workshop.cache).left == ("~/a\ufffd\ufffd[31m/file",)
    assert list((workshop.cache.root / "tmp").iterdir()) == []


def test_what_it_requires_is_not_run_outside(workshop: Workshop, tmp_path: Path) -> None:
    """A .pth file of a requirement starts with each interpreter beside it, uv's question too."""
    marker, wheels = tmp_path / "started", tmp_path / "wheels"
    wheels.mkdir()
    info = "planted-1.dist-info"
    with zipfile.ZipFile(wheels / "planted-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            "planted.pth",
            f"import os; os.path.isdir({str(tmp_path)!r}) and open({str(marker)!r}, 'w')\n",
        )
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "planted.pth,,\n")
    files = {**hostile("import flit_core\nreturn make(wheel_directory)")}
    files["backend.py"] += (
        "\ndef get_requires_for_build_wheel(settings=None):\n    return ['flit_core']\n"
    )
    files["pyproject.toml"] = files["pyproject.toml"].replace("[]", '["planted"]')
    variables = dict(workshop.environment)
    variables["UV_FIND_LINKS"] += f",{wheels}"
    wheel_built = built_wheel(
        directory(workshop.root, "hostile", files), replace(workshop, environment=variables)
    )
    requires = build_facts(wheel_built, workshop.cache).requires
    assert [each.split("-")[0] for each in requires] == ["flit_core", "planted"]
    assert not marker.exists()


def test_without_a_sandbox_nothing_is_built(workshop: Workshop) -> None:
    source = directory(workshop.root, "flitted", FLITTED)
    with pytest.raises(SandboxError, match="no bubblewrap") as raised:
        built_wheel(source, replace(workshop, sandbox=None))
    assert "--no-sandbox" in str(raised.value.hint)
    assert workshop.sandbox is not None
    missing = replace(workshop.sandbox, program="/nowhere/bwrap")
    with pytest.raises(SandboxError, match="starting /nowhere/bwrap") as raised:
        built_wheel(source, replace(workshop, sandbox=missing))
    assert "install bubblewrap" in str(raised.value.hint)


def test_unconfined_it_still_gets_no_variable_of_the_caller(workshop: Workshop) -> None:
    code = "return make(wheel_directory, data=str(dict(os.environ)))"
    shop = unconfined(workshop)
    seen = content(shop, build(shop, code))
    assert "PYTHONHASHSEED" in seen
    assert SECRET not in seen
    assert workshop.environment["HOME"] not in seen


def test_the_wheel_it_gives_is_of_the_locked_version(workshop: Workshop) -> None:
    source = directory(workshop.root, "flitted", FLITTED, version="0.4")
    with pytest.raises(SourceError, match=r"is of version 0\.3, want 0\.4") as raised:
        built_wheel(source, workshop)
    assert "pixi lock" in str(raised.value.hint)


def test_a_full_descriptor_table_is_not_handed_on(workshop: Workshop, tmp_path: Path) -> None:
    secret = tmp_path / "open-file"
    secret.write_text(SECRET)
    handle = os.open(secret, os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        code = """
found = []
for number in range(3, 256):
    try:
        found.append(os.pread(number, 100, 0).decode())
    except (OSError, UnicodeDecodeError):
        pass
return make(wheel_directory, data=" ".join(found))
"""
        assert SECRET not in content(workshop, build(workshop, code))
    finally:
        os.close(handle)
