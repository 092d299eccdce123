"""``config.Env``: the result of activation, and what keeps the host out of the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_variables(rows: Sequence[str]) -> dict[str, str]:
    """The variables of a base image, with a PATH in any case."""
    env = dict[str, str]()
    for row in rows:
        name, _, value = row.partition("=")
        env[name] = value
    return {**env, "PATH": env.get("PATH") or DEFAULT_PATH}


def activation_base(prefix: str, environment: str, workspace: str) -> dict[str, str]:
    """The variables that activating any environment sets, PATH left out."""
    return {
        "CONDA_PREFIX": prefix,
        "CONDA_DEFAULT_ENV": f"{workspace}:{environment}"
        if environment != "default"
        else workspace,
        "CONDA_SHLVL": "1",
        "PIXI_IN_SHELL": "1",
        "PIXI_ENVIRONMENT_NAME": environment,
        "PIXI_PROJECT_NAME": workspace,
        "PIXI_PROJECT_ROOT": "/app",
        "PIXI_PROJECT_MANIFEST": "/app/pixi.toml",
    }


def image_env(
    base: Sequence[str],
    prefix: str,
    path: Sequence[str],
    variables: Mapping[str, str],
    *,
    unset: Sequence[str] = (),
    wants_gpu: bool,
    has_ca: bool,
) -> list[str]:
    """The ``NAME=value`` rows of ``config.Env``: the base's, changed and added to.

    base: the base image's rows. path: what comes before its PATH. variables: what activation
    sets. unset: what it takes away of the base's. wants_gpu: whether the environment asks for
    ``__cuda``. has_ca: whether the prefix holds conda's CA bundle.
    """
    env = base_variables(base)
    env["PATH"] = ":".join([*path, env["PATH"]])
    for name in unset:
        env.pop(name, None)
    env.update(variables)
    # Host values of these would reach the interpreter through Apptainer and pyxis, which
    # hand the host's environment on; one that the image sets, even to nothing, wins.
    env["PYTHONNOUSERSITE"] = "1"
    env.setdefault("PYTHONPATH", "")
    env.setdefault("PYTHONHOME", "")
    if has_ca:
        env.setdefault("SSL_CERT_FILE", f"{prefix}/ssl/cacert.pem")
    if wants_gpu:
        # Without the first nothing is injected, without the second no libcuda (enroot's hook).
        env.setdefault("NVIDIA_VISIBLE_DEVICES", "all")
        env.setdefault("NVIDIA_DRIVER_CAPABILITIES", "compute,utility")
    return [f"{name}={value}" for name, value in env.items()]
