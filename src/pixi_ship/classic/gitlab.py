"""A pipeline of GitLab CI. Source: GitLab "CI/CD YAML syntax reference"."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from pixi_ship.classic import apptainer, dockerfile
from pixi_ship.classic.route import Route
from pixi_ship.classic.steps import (
    APPTAINER_VERSION,
    Way,
    build_words,
    cd,
    oras_login,
    python_version,
    script,
    watched,
)
from pixi_ship.targets.yaml import Value


def gitlab(route: Route, way: Way, base: str | None, image: str | None) -> Mapping[str, Value]:
    """The pipeline, as a document; arguments as of ``ci.pipeline``."""
    job = {
        Way.PIXI_SHIP: _gitlab_pixi_ship,
        Way.DOCKERFILE: _gitlab_dockerfile,
        Way.APPTAINER: _gitlab_apptainer,
    }[way](route, base)
    changes: Sequence[Value] = watched(route, way)
    variables = _gitlab_variables(image)
    # A job cannot be called "image", which is a keyword.
    return {
        "build-image": {
            **job,
            "variables": {**variables, **_mapping(job.get("variables"))},
            "rules": [
                {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "changes": changes},
            ],
        }
    }


def _mapping(value: Value | None) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


def _gitlab_variables(image: str | None) -> dict[str, Value]:
    """Another registry's login is in variables that the project keeps: REGISTRY_USER, …_TOKEN."""
    if image is None:
        return {
            "IMAGE": "$CI_REGISTRY_IMAGE",
            "REGISTRY": "$CI_REGISTRY",
            "REGISTRY_USER": "$CI_REGISTRY_USER",
            "REGISTRY_TOKEN": "$CI_REGISTRY_PASSWORD",
        }
    return {"IMAGE": image, "REGISTRY": image.partition("/")[0]}


def _gitlab_pixi_ship(route: Route, base: str | None) -> dict[str, Value]:
    build = shlex.join(build_words(route, base))
    tag = f'"docker://$IMAGE:{route.environment}'
    login = 'auth=$(printf "%s:%s" "$REGISTRY_USER" "$REGISTRY_TOKEN" | base64 --wrap=0)'
    form = '{"auths":{"%s":{"auth":"%s"}}}'
    return {
        "image": f"python:{python_version(route)}",
        "script": [
            "python -m pip install pixi-ship",
            script(
                "export REGISTRY_AUTH_FILE=$(mktemp)",
                login,
                f'printf \'{form}\' "$REGISTRY" "$auth" > "$REGISTRY_AUTH_FILE"',
            ),
            script(
                f"{build} \\",
                f'  --cache-from {tag}" \\',
                f'  --to {tag}" \\',
                f'  --to {tag}-$CI_COMMIT_SHA"',
            ),
        ],
    }


def _gitlab_dockerfile(route: Route, _: str | None) -> dict[str, Value]:
    tag = f'"$IMAGE:{route.environment}'
    build = f"docker build --platform {route.platform} --file {dockerfile.FILE_NAME}"
    return {
        "image": "docker:28",
        "services": ["docker:28-dind"],
        "variables": {"DOCKER_BUILDKIT": "1"},
        "script": [
            'echo "$REGISTRY_TOKEN" | docker login --username "$REGISTRY_USER" --password-stdin '
            '"$REGISTRY"',
            script(
                *cd(route),
                f'{build} --tag {tag}" --tag {tag}-$CI_COMMIT_SHA" .',
            ),
            f'docker push {tag}"',
            f'docker push {tag}-$CI_COMMIT_SHA"',
        ],
    }


def _gitlab_apptainer(route: Route, _: str | None) -> dict[str, Value]:
    sif = f"{route.environment}.sif"
    push = f'apptainer push {sif} "oras://$IMAGE:{route.environment}'
    return {
        "image": {"name": f"ghcr.io/apptainer/apptainer:{APPTAINER_VERSION}", "entrypoint": [""]},
        "script": [
            script(
                *cd(route),
                f"apptainer build {sif} {apptainer.FILE_NAME}",
                f"apptainer test {sif}",
                oras_login('"$REGISTRY"'),
                f'{push}-sif"',
                f'{push}-sif-$CI_COMMIT_SHA"',
            ),
        ],
    }
