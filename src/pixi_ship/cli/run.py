"""``pixi ship run``."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Unpack

import click

from pixi_ship.cli.display import progress
from pixi_ship.cli.foreign_text import printable_errors
from pixi_ship.cli.image_options import ImageOptions, opened_registries
from pixi_ship.cli.option_group import option_group
from pixi_ship.cli.options import (
    DEFAULT_PLATFORM,
    EnvironmentOptions,
    cores,
    not_building,
    platform_here,
    resolve,
)
from pixi_ship.cli.registry_options import registry_options
from pixi_ship.errors import UsageError
from pixi_ship.oci.reference import Reference, parse_reference
from pixi_ship.platform import Platform, platform_of
from pixi_ship.progress import Progress
from pixi_ship.registry.registries import Registries
from pixi_ship.run import (
    Opened,
    Prepared,
    Workbench,
    build_image,
    check_binds,
    is_sif,
    open_image,
    prepare,
)
from pixi_ship.run.process import become, load_image, succeeds, supervise
from pixi_ship.runtime.find import RUNTIMES, Form, FoundRuntime, find_runtime
from pixi_ship.runtime.spec import (
    Caller,
    Like,
    RunSpec,
    parse_bind,
    parse_gpus,
    parse_variable,
    runtime_options,
)

_run_options = option_group(
    click.option(
        "--runtime",
        type=click.Choice(list(RUNTIMES)),
        help="What starts the command.  [default: the first of these that is here]",
    ),
    click.option("--gpus", metavar="N", help="GPUs to hand on: a number, or all."),
    click.option(
        "--bind",
        "binds",
        metavar="SRC[:DEST[:ro]]",
        multiple=True,
        help="File or directory of this machine to see in the container. May be repeated.",
    ),
    click.option(
        "--env",
        "variables",
        metavar="NAME[=VALUE]",
        multiple=True,
        help="Variable for the command; without a value, as it is set here. May be repeated.",
    ),
    click.option(
        "--workdir",
        metavar="DIR",
        help="Directory of the container to start in; the current one is then not bound.  "
        "[default: the current directory, bound at the same path]",
    ),
    click.option(
        "--like",
        type=click.Choice([each.value for each in Like]),
        help="Imitate what jobs meet on such a site.",
    ),
    click.option(
        "--runtime-option",
        "options",
        metavar="WORD",
        multiple=True,
        help="A word for the runtime itself, such as --runtime-option=--network=none. May be "
        "repeated; those in PIXI_SHIP_<RUNTIME>_OPTIONS come first.",
    ),
    click.option("--dry-run", is_flag=True, help="Print the line that would start it, and end."),
    click.option("-e", "--environment", help="Environment to build and run in, in place of REF."),
    click.option(
        "-w",
        "--workspace",
        type=click.Path(path_type=Path),
        help="Directory or manifest of its workspace, in place of REF.  [default: the nearest "
        "upward]",
    ),
    click.option("--platform", help="Platform of the image.  [default: this machine's]"),
    click.option("--cuda", metavar="VERSION", help="As for build, with --environment."),
    click.option("--base", metavar="REF", help="As for build, with --environment."),
    click.option(
        "--cache-dir",
        type=click.Path(path_type=Path),
        help="Where images are made ready; also PIXI_SHIP_CACHE_DIR.",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="No progress, as where stderr is no terminal."
    ),
    registry_options,
)


class RunOptions(ImageOptions):
    """The values of the options that say what the job sees, by parameter name."""

    runtime: str | None
    gpus: str | None
    binds: tuple[str, ...]
    variables: tuple[str, ...]
    workdir: str | None
    like: str | None
    options: tuple[str, ...]
    dry_run: bool
    environment: str | None
    workspace: Path | None
    platform: str | None
    cuda: str | None
    base: str | None
    quiet: bool


@click.command("run")
@click.argument("words", metavar="REF COMMAND", nargs=-1, type=click.UNPROCESSED)
@_run_options
def run_command(words: tuple[str, ...], **given: Unpack[RunOptions]) -> None:
    """Run a command here, in the image REF or in that of an environment.

    Write "run REF -- COMMAND", or "run -e ENVIRONMENT -- COMMAND", which builds the image first.
    REF: docker://HOST/NAME[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG],
    docker-archive:FILE[:TAG], sif:FILE, or oras://HOST/NAME[:TAG]. The exit code is the
    command's. Without a command the image's own is run.
    """
    reference, command = _reference(words, given)
    with printable_errors():
        sif = reference is not None and is_sif(reference)
        gpus = parse_gpus(given["gpus"]) if given["gpus"] else None
        found = find_runtime(shutil.which, name=given["runtime"], sif=sif, gpus=gpus is not None)
        spec = _run_spec(command, gpus, found, given)
        check_binds(spec)
        prepared = _prepared(reference, found, spec, given)
    if given["dry_run"]:
        _show(prepared)
    else:
        _start(prepared, found, spec)


def _reference(
    words: tuple[str, ...], given: RunOptions
) -> tuple[Reference | None, tuple[str, ...]]:
    """The image, None for an environment's, and the command."""
    if given["environment"] is not None or given["workspace"] is not None:
        return None, words
    if not words:
        raise click.UsageError("nothing to run in: give REF, or -e ENVIRONMENT")
    for name in ("cuda", "base"):
        if given[name]:
            raise UsageError(f"--{name} is for building, and {words[0]} is built already")
    return parse_reference(words[0]), words[1:]


def _run_spec(
    command: tuple[str, ...], gpus: str | None, found: FoundRuntime, given: RunOptions
) -> RunSpec:
    environment = dict(os.environ)
    here = str(Path.cwd())
    workdir = given["workdir"]
    if workdir is not None and not PurePosixPath(workdir).is_absolute():
        raise UsageError(
            f"--workdir {workdir!r} is no absolute path", hint="want a directory of the container"
        )
    return RunSpec(
        command=command,
        caller=Caller(
            here, str(Path.home()), os.getuid(), os.getgid(), environment, _at_terminal()
        ),
        binds=tuple(parse_bind(each, here) for each in given["binds"]),
        variables=tuple(parse_variable(each, environment) for each in given["variables"]),
        gpus=gpus,
        starts_in=workdir,
        like=Like(given["like"]) if given["like"] else None,
        options=(*runtime_options(found.runtime.name, environment), *given["options"]),
    )


def _at_terminal() -> bool:
    """With one end elsewhere a terminal in between would turn line ends into others."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _prepared(
    reference: Reference | None, found: FoundRuntime, spec: RunSpec, given: RunOptions
) -> Prepared:
    with ExitStack() as stack:
        # What is written to a file is the job's alone.
        quiet = given["quiet"] or not sys.stderr.isatty()
        watcher = stack.enter_context(progress(quiet=quiet))
        if reference is None:
            opened, at = _of_environment(given, watcher, stack)
        else:
            opened, at = _of_reference(reference, given, watcher, stack)
        return prepare(opened, found, spec, at)


def _of_reference(
    reference: Reference, given: RunOptions, watcher: Progress, stack: ExitStack
) -> tuple[Opened, Workbench]:
    registries = stack.enter_context(opened_registries(given))
    at = _workbench(registries, platform_of(given["platform"] or platform_here()), given, watcher)
    return open_image(reference, at), at


def _of_environment(
    given: RunOptions, watcher: Progress, stack: ExitStack
) -> tuple[Opened, Workbench]:
    platform = given["platform"]
    request = resolve(
        not_building(
            EnvironmentOptions(
                workspace=given["workspace"],
                environment=given["environment"],
                platforms=(platform,) if platform else (),
                cuda=given["cuda"],
                base=given["base"],
                cache_dir=given["cache_dir"],
                authfile=given["authfile"],
                plain_http=given["plain_http"],
                ca_file=given["ca_file"],
            )
        )
    )
    name = platform or _platform_name(request.options.platforms)
    options = replace(request.options, platforms=(name,))
    registries = stack.enter_context(request.registries)
    at = _workbench(registries, platform_of(platform_here()), given, watcher)
    return build_image(request.workspace, options, request.machine, at), at


def _workbench(
    registries: Registries, platform: Platform, given: RunOptions, watcher: Progress
) -> Workbench:
    return Workbench(
        cache=registries.cache,
        registries=registries,
        platform=platform,
        workers=cores(),
        # A dry run asks nobody, so it says how to bring the image in, needed or not.
        succeeds=lambda question: not given["dry_run"] and succeeds(question, os.environ),
        authfile=str(given["authfile"]) if given["authfile"] else None,
        progress=watcher,
    )


def _platform_name(offered: tuple[str, ...]) -> str:
    """Which of the manifest's platforms to run; where it names none, that of this machine."""
    machine = platform_here()
    if machine in offered or offered == (DEFAULT_PLATFORM,):
        return machine
    if len(offered) == 1:
        return offered[0]
    raise UsageError(f"--platform is not given, and there are {', '.join(offered)}")


def _show(prepared: Prepared) -> None:
    lines = [prepared.loading.load] if prepared.loading else []
    for each in (*lines, prepared.start):
        # Words may be no text in any encoding: out as they came in.
        sys.stdout.buffer.write(os.fsencode(f"{each}\n"))
    sys.stdout.flush()


def _start(prepared: Prepared, found: FoundRuntime, spec: RunSpec) -> None:
    """Hand over to the runtime; this does not return."""
    caller = spec.caller
    if (loading := prepared.loading) is not None:
        load_image(loading.load, loading.archive, caller.environment)
    sys.stdout.flush()
    if found.runtime.form is Form.ROOT:
        terminal = sys.stdin.isatty()
        sys.exit(supervise(prepared.start, caller.environment, terminal=terminal))
    become(prepared.start, caller.environment)
