"""The direction of imports: what comes before the tree knows packages, what comes after formats."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import pixi_ship

SOURCE = Path(pixi_ship.__file__).parent
BASICS = frozenset({"errors", "digest", "platform", "redaction"})
WAIST = BASICS | {"tree"}

# Room → the rooms it may import, besides itself.
ALLOWED: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "version": frozenset(),
    "redaction": frozenset(),
    "digest": frozenset(),
    "deflate": frozenset(),
    "progress": frozenset(),
    "platform": frozenset({"errors"}),
    "tree": frozenset(),
    "tar_stream": BASICS,
    "disk_tree": frozenset(),
    "cache": BASICS | {"disk_tree"},
    "workspace": frozenset({"errors"}),
    "lock": BASICS,
    "requirement": frozenset({"errors", "lock"}),
    "fetch": BASICS | {"cache", "lock"},
    "package": WAIST | {"tar_stream"},
    "repack": WAIST | {"package"},
    "prefix": WAIST | {"tar_stream", "lock", "fetch", "package"},
    "sandbox": BASICS,
    "source": WAIST
    | {
        "cache",
        "lock",
        "fetch",
        "package",
        "prefix",
        "sandbox",
        "tar_stream",
        "workspace",
        "gitignore",
    },
    "machine": frozenset({"platform", "prefix", "sandbox"}),
    "gitignore": BASICS,
    "project": WAIST | {"gitignore", "workspace"},
    "layer": WAIST | {"deflate"},
    "oci": WAIST | {"tar_stream", "cache", "layer"},
    "registry": BASICS | {"cache", "oci", "version"},
    "base_lock": BASICS | {"cache"},
    "verification": WAIST | {"tar_stream", "oci"},
    "recipe": frozenset({"digest", "errors", "platform", "tree"}),
    "squashfs": BASICS | {"deflate"},
    "runtime": BASICS,
    "job": BASICS,
    "scheduler": BASICS | {"cache", "job"},
    "host": BASICS | {"cache", "job", "scheduler"},
    "targets": BASICS | {"job"},
    "sif": WAIST | {"tar_stream", "cache", "oci", "recipe", "squashfs"},
    "rootfs": WAIST | {"tar_stream", "layer", "oci", "squashfs"},
}
ENGINE = frozenset(ALLOWED)
# What is said about images, and what keeps the cache in order, stands beside the steps.
BESIDE = {
    "attest": BASICS | {"lock", "workspace", "oci", "selection"},
    "classic": BASICS | {"lock", "oci", "project", "recipe", "selection", "targets", "workspace"},
    "statements": BASICS | {"attest", "cache", "oci", "selection"},
    "upkeep": BASICS | {"cache", "disk_tree", "layering"},
    "doctor": BASICS | {"cache", "job", "oci", "registry", "runtime"},
}
# From here on each may also import what stands above it in this list.
STEPS = (
    *(
        "selection",
        "injection",
        "from_source",
        "layering",
        "project_layer",
        "bases",
        "delivery",
        "builder",
        "activation",
        "assembly",
        "build_record",
    ),
    *("ship", "convert", "pull", "run", "submit", "over_ssh", "executor", "verify", "inspection"),
)
ALLOWED |= BESIDE
ALLOWED |= {step: ENGINE | set(STEPS[:place]) for place, step in enumerate(STEPS)}
ALLOWED["ship"] |= {"statements"}
ALLOWED |= {
    "cli": ENGINE | set(STEPS) | set(BESIDE) | {""},
    "": frozenset({"executor", "ship", "verify", "version"}),
    "__main__": frozenset({"cli"}),
}
# The Python API is a surface as the command line is; one module of it looks around, and once.
LOOKS_AROUND = "executor.surroundings"
SURROUNDINGS = {
    ("os", "environ"),
    ("os", "getenv"),
    ("os", "getcwd"),
    ("os", "umask"),
    ("time", "time"),
    ("datetime", "now"),
    ("datetime", "today"),
    ("datetime", "utcnow"),
    ("Path", "cwd"),
    ("Path", "home"),
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name below pixi_ship of everything of ours that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            name = node.module or ""
            if name == "pixi_ship":
                for alias in node.names:
                    is_module = (SOURCE / alias.name).is_dir() or (
                        SOURCE / f"{alias.name}.py"
                    ).is_file()
                    yield node.lineno, alias.name if is_module else ""
            elif name.startswith("pixi_ship."):
                yield node.lineno, name.removeprefix("pixi_ship.")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "pixi_ship":
                    yield node.lineno, alias.name.removeprefix("pixi_ship").removeprefix(".")


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_is_in_the_table() -> None:
    found = {room(module) for module, _ in modules()}
    assert found == set(ALLOWED), "say in ALLOWED what a new room may import"


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_room_imports_only_what_lies_below(name: str) -> None:
    offending = [
        f"{path.relative_to(SOURCE)}:{line}: pixi_ship.{module} imports pixi_ship.{other}"
        for module, path in modules()
        if room(module) == name
        for line, other in imports(path)
        if room(other) != name and room(other) not in ALLOWED[name]
    ]
    assert not offending, "\n".join(["against the direction of imports:", *offending])


def chain(start: str, goals: frozenset[str]) -> list[str] | None:
    """The shortest chain of imports between modules that leads into one of the rooms."""
    known = dict(modules())
    reached: dict[str, str | None] = {start: None}
    waiting = [start]
    for module in waiting:
        if room(module) in goals:
            found: list[str] = []
            at: str | None = module
            while at is not None:
                found.insert(0, at)
                at = reached[at]
            return found
        for _, other in imports(known[module]):
            if other in known and other not in reached:
                reached[other] = module
                waiting.append(other)
    return None


@pytest.mark.parametrize(
    ("rooms", "goals"),
    [
        ({"layer", "oci"}, {"lock", "package", "prefix", "fetch", "recipe"}),
        ({"prefix", "package", "repack"}, {"layer", "oci", "recipe"}),
        ({"recipe"}, {"lock", "package", "prefix", "fetch", "layer", "oci", "cache"}),
        ({"tree"}, set(ALLOWED) - {"tree"}),
    ],
)
def test_nothing_leads_round_the_waist(rooms: set[str], goals: set[str]) -> None:
    found = [chain(module, frozenset(goals)) for module, _ in modules() if room(module) in rooms]
    chains = [" → ".join(each) for each in found if each]
    assert not chains, "\n".join(["these chains lead round the tree:", *chains])


def test_only_the_command_line_looks_at_its_surroundings() -> None:
    found = []
    for module, path in modules():
        if room(module) == "cli" or module == LOOKS_AROUND:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                owner = node.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                if (name, node.attr) in SURROUNDINGS:
                    found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {name}.{node.attr}")
    assert not found, "only pixi_ship.cli may read these:\n" + "\n".join(found)


def test_only_the_command_line_prints() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for module, path in modules()
        if room(module) != "cli"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not found
