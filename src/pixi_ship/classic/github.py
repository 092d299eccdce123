"""A workflow of GitHub Actions.

Source: GitHub "Workflow syntax". No expression stands in a script: values come in as variables,
so that no branch's name is run as a program.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping

from pixi_ship.classic import dockerfile, steps
from pixi_ship.classic.route import Route
from pixi_ship.classic.steps import Way, cd, script
from pixi_ship.targets.yaml import Value

_CHECKOUT = "actions/checkout@v4"
_SETUP_PYTHON = "actions/setup-python@v5"
_SETUP_BUILDX = "docker/setup-buildx-action@v3"
_LOGIN = "docker/login-action@v3"
_BUILD_PUSH = "docker/build-push-action@v6"
_SETUP_APPTAINER = "eWaterCycle/setup-apptainer@v2"
_PUSHES = "github.event_name != 'pull_request'"


def github(route: Route, way: Way, base: str | None, image: str | None) -> Mapping[str, Value]:
    """The workflow, as a document; arguments as of ``ci.pipeline``."""
    paths = steps.watched(route, way)
    building = {
        Way.PIXI_SHIP: _pixi_ship,
        Way.DOCKERFILE: _dockerfile,
        Way.APPTAINER: _apptainer,
    }[way](route, base, image)
    job: dict[str, Value] = {
        "runs-on": _runner(route),
        "permissions": {"contents": "read", "packages": "write"},
        "steps": [
            {"uses": _CHECKOUT, "with": {"persist-credentials": False}},
            _name(image),
            *building,
        ],
    }
    return {
        "name": "image",
        "on": {
            "push": {"branches": ["main"], "paths": paths},
            "pull_request": {"paths": paths},
            "workflow_dispatch": {},
        },
        "concurrency": {
            "group": "${{ github.workflow }}-${{ github.ref }}",
            "cancel-in-progress": True,
        },
        "permissions": {},
        "jobs": {"image": job},
    }


def _runner(route: Route) -> str:
    return "ubuntu-24.04-arm" if route.platform.architecture == "arm64" else "ubuntu-24.04"


def _name(image: str | None) -> Mapping[str, Value]:
    """A repository's name in the registry is in lower case, on GitHub it need not be."""
    name = shlex.quote(image) if image else '"ghcr.io/${GITHUB_REPOSITORY,,}"'
    return {
        "name": "Name the image",
        "id": "name",
        "run": script(f"image={name}", 'echo "image=$image" >> "$GITHUB_OUTPUT"'),
    }


def _account(image: str | None) -> tuple[str, str, str]:
    """Registry, user and token."""
    if image is None or image.startswith("ghcr.io/"):
        return "ghcr.io", "${{ github.actor }}", "${{ secrets.GITHUB_TOKEN }}"
    user, token = "${{ secrets.REGISTRY_USER }}", "${{ secrets.REGISTRY_TOKEN }}"
    return image.partition("/")[0], user, token


def _login(image: str | None) -> Mapping[str, Value]:
    host, user, token = _account(image)
    return {
        "name": "Log in",
        "if": _PUSHES,
        "uses": _LOGIN,
        "with": {"registry": host, "username": user, "password": token},
    }


def _pixi_ship(route: Route, base: str | None, image: str | None) -> list[Value]:
    build = shlex.join(steps.build_words(route, base))
    return [
        {"uses": _SETUP_PYTHON, "with": {"python-version": steps.python_version(route)}},
        {"name": "Install pixi-ship", "run": "python -m pip install pixi-ship"},
        _login(image),
        {
            "name": "Build",
            "if": "github.event_name == 'pull_request'",
            "run": f"{build} --to oci:image",
        },
        {
            "name": "Build and push",
            "if": _PUSHES,
            "env": {"IMAGE": "${{ steps.name.outputs.image }}"},
            "run": steps.build_and_push(route, base, "$GITHUB_SHA"),
        },
    ]


def _dockerfile(route: Route, _: str | None, image: str | None) -> list[Value]:
    file = posixpath.join(route.in_repository, dockerfile.FILE_NAME)
    name = "${{ steps.name.outputs.image }}:" + route.environment
    return [
        {"uses": _SETUP_BUILDX},
        _login(image),
        {
            "name": "Build, and push unless it is a pull request",
            "uses": _BUILD_PUSH,
            "with": {
                "context": route.in_repository or ".",
                "file": file,
                "platforms": str(route.platform),
                "push": "${{ github.event_name != 'pull_request' }}",
                "tags": script(name, name + "-${{ github.sha }}"),
                "cache-from": "type=gha",
                "cache-to": "type=gha,mode=max",
            },
        },
    ]


def _apptainer(route: Route, _: str | None, image: str | None) -> list[Value]:
    host, user, token = _account(image)
    return [
        {
            "name": "Free some disk",
            "run": "sudo rm -rf /usr/share/dotnet /usr/local/lib/android /opt/ghc",
        },
        {"uses": _SETUP_APPTAINER, "with": {"apptainer-version": steps.APPTAINER_VERSION}},
        {"name": "Build and test", "run": script(*cd(route), *steps.build_sif(route))},
        {
            "name": "Push",
            "if": _PUSHES,
            "env": {
                "IMAGE": "${{ steps.name.outputs.image }}",
                "REGISTRY_USER": user,
                "REGISTRY_TOKEN": token,
            },
            "run": script(*cd(route), *steps.push_sif(route, shlex.quote(host), "$GITHUB_SHA")),
        },
    ]
