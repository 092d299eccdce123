"""A pipeline of GitLab CI. Source: GitLab "CI/CD YAML syntax reference"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pixi_ship.classic import dockerfile, steps
from pixi_ship.classic.route import Route
from pixi_ship.classic.steps import Way, cd, script
from pixi_ship.targets.yaml import Value

_COMMIT = "$CI_COMMIT_SHA"


def gitlab(route: Route, way: Way, base: str | None, image: str | None) -> Mapping[str, Value]:
    """The pipeline, as a document; arguments as of ``ci.pipeline``."""
    job = {
        Way.PIXI_SHIP: _pixi_ship,
        Way.DOCKERFILE: _dockerfile,
        Way.APPTAINER: _apptainer,
    }[way](route, base)
    changes: Sequence[Value] = steps.watched(route, way)
    # A job cannot be called "image", which is a keyword.
    return {
        "build-image": {
            **job,
            "variables": {**_variables(image), **_mapping(job.get("variables"))},
            "rules": [
                {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "changes": changes},
            ],
        }
    }


def _mapping(value: Value | None) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


def _variables(image: str | None) -> dict[str, Value]:
    """Another registry's login is in variables that the project keeps: REGISTRY_USER, …_TOKEN."""
    if image is None:
        return {
            "IMAGE": "$CI_REGISTRY_IMAGE",
            "REGISTRY": "$CI_REGISTRY",
            "REGISTRY_USER": "$CI_REGISTRY_USER",
            "REGISTRY_TOKEN": "$CI_REGISTRY_PASSWORD",
        }
    return {"IMAGE": image, "REGISTRY": image.partition("/")[0]}


def _pixi_ship(route: Route, base: str | None) -> dict[str, Value]:
    login = 'auth=$(printf "%s:%s" "$REGISTRY_USER" "$REGISTRY_TOKEN" | base64 --wrap=0)'
    form = '{"auths":{"%s":{"auth":"%s"}}}'
    return {
        "image": f"python:{steps.python_version(route)}",
        "script": [
            "python -m pip install pixi-ship",
            script(
                "export REGISTRY_AUTH_FILE=$(mktemp)",
                login,
                f'printf \'{form}\' "$REGISTRY" "$auth" > "$REGISTRY_AUTH_FILE"',
            ),
            steps.build_and_push(route, base, _COMMIT),
        ],
    }


def _dockerfile(route: Route, _: str | None) -> dict[str, Value]:
    tag = f'"$IMAGE:{route.environment}'
    build = f"docker build --platform {route.platform} --file {dockerfile.FILE_NAME}"
    return {
        "image": "docker:28",
        "services": ["docker:28-dind"],
        "variables": {"DOCKER_BUILDKIT": "1"},
        "script": [
            'echo "$REGISTRY_TOKEN" | docker login --username "$REGISTRY_USER" --password-stdin '
            '"$REGISTRY"',
            script(*cd(route), f'{build} --tag {tag}" --tag {tag}-{_COMMIT}" .'),
            f'docker push {tag}"',
            f'docker push {tag}-{_COMMIT}"',
        ],
    }


def _apptainer(route: Route, _: str | None) -> dict[str, Value]:
    lines = (*steps.build_sif(route), *steps.push_sif(route, '"$REGISTRY"', _COMMIT))
    name = f"ghcr.io/apptainer/apptainer:{steps.APPTAINER_VERSION}"
    return {
        "image": {"name": name, "entrypoint": [""]},
        "script": [script(*cd(route), *lines)],
    }
