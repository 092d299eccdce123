"""Every point of what an image must do for batch runtimes has a test: the ones that other tests
have are named in `POINTS`, and the ones that nobody had are here.
"""

from __future__ import annotations

import ast
from pathlib import Path, PurePosixPath

import pytest

from ..conftest import TestData
from ..contract.tools import output
from ..tiny import Tiny
from .probe import CHECKS, PREFIX
from .stage import REPOSITORY, Stage

CELL = "matrix/test_matrix.py::test_cell"
POINTS: dict[str, tuple[str, ...]] = {
    "1 the result of activation is in config.Env, in values that no runtime changes": (
        CELL,
        "matrix/test_rules.py::test_no_rule_changes_our_image",
        "matrix/test_rules.py::test_a_value_that_enroot_changes_is_not_called_safe",
    ),
    "2 the host's Python variables and packages are kept out": (
        CELL,
        "apptainer/test_own_sif.py::test_nothing_of_the_host_leaks_in",
        "matrix/test_points.py::test_isolation",
    ),
    "3 variables for GPUs, and no LD_LIBRARY_PATH": (
        "matrix/test_points.py::test_gpu_variables",
        "matrix/test_points.py::test_no_gpu_variables_without_a_gpu",
    ),
    "4 a thin entrypoint: twice, sourced, with arguments, for strangers": (
        "contract/test_podman.py::test_entrypoint_twice_changes_nothing",
        "contract/test_podman.py::test_entrypoint_sourced_without_its_last_line",
        "contract/test_podman.py::test_entrypoint_hands_over_arguments_and_status",
        "contract/test_podman.py::test_entrypoint_as_a_command",
        "contract/test_podman.py::test_without_a_command_there_is_a_shell",
        CELL,
    ),
    "5 login shells are active": (CELL, "matrix/test_points.py::test_hook_for_login_shells"),
    "6 a SIF is active under exec, run and shell, and its test is fast": (
        CELL,
        "apptainer/test_own_sif.py::test_commands",
        "apptainer/test_own_sif.py::test_shell",
        "apptainer/test_own_sif.py::test_run_as_a_program_and_test",
    ),
    "7 /ch/environment has config.Env": (CELL, "matrix/test_points.py::test_charliecloud_file"),
    "8 files for everybody, compiled, and the directories that runtimes mount over": (
        "contract/test_umoci.py::test_unpack",
        "matrix/test_points.py::test_modules_are_compiled",
        "matrix/test_points.py::test_mount_points",
        "matrix/test_points.py::test_mount_points_on_scratch",
    ),
    "9 what runtimes start in an image is there": ("matrix/test_points.py::test_programs",),
    "10 no working directory": ("matrix/test_points.py::test_no_working_directory",),
    "11 BASH_ENV is left alone": ("matrix/test_points.py::test_no_bash_env",),
    "12 the prefix is where no runtime mounts anything": (
        "matrix/test_points.py::test_prefix_is_not_mounted_over",
    ),
}
OVERMOUNTED = (
    "/home",
    "/tmp",
    "/srv",
    "/scratch",
    "/var",
    "/run",
    "/root",
    "/mnt",
    "/dev",
    "/proc",
)


@pytest.mark.parametrize("test", sorted({test for tests in POINTS.values() for test in tests}))
def test_the_named_tests_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    body = ast.parse((REPOSITORY / "tests" / file).read_text(encoding="utf-8")).body
    assert name in {each.name for each in body if isinstance(each, ast.FunctionDef)}


def test_there_are_twelve_points() -> None:
    assert [int(point.split()[0]) for point in POINTS] == list(range(1, 13))
    assert len(CHECKS) == 11


def test_isolation(stage: Stage) -> None:
    found = {name: stage.variables[name] for name in stage.variables if name.startswith("PYTHON")}
    assert found == {"PYTHONNOUSERSITE": "1", "PYTHONPATH": "", "PYTHONHOME": ""}


def test_gpu_variables(channel_data: TestData, tmp_path: Path) -> None:
    """Without the first a runtime injects nothing, without `compute` no libcuda."""
    variables = Stage(tmp_path, channel_data.workspace("gpu")).variables
    assert variables["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert {"compute", "utility"} <= set(variables["NVIDIA_DRIVER_CAPABILITIES"].split(","))
    assert "LD_LIBRARY_PATH" not in variables


def test_no_gpu_variables_without_a_gpu(stage: Stage) -> None:
    assert not [name for name in stage.variables if name.startswith(("NVIDIA", "LD_"))]


def test_hook_for_login_shells(stage: Stage) -> None:
    """`/etc/profile` reads the files of profile.d by name, and ours is the last."""
    names = sorted(each.name for each in (stage.root / "etc" / "profile.d").glob("*.sh"))
    assert names[-1] == "zz-pixi-ship.sh"


def test_charliecloud_file(stage: Stage) -> None:
    assert (stage.root / "ch" / "environment").read_text().splitlines() == stage.rows


def test_modules_are_compiled(stage: Stage) -> None:
    """A read-only root keeps no bytecode that a job makes."""
    numpy = next((stage.root / PREFIX[1:] / "lib").glob("python3*/site-packages/numpy"))
    modules = list(numpy.glob("*.py"))
    assert modules
    for module in modules:
        assert list((numpy / "__pycache__").glob(f"{module.stem}.*.pyc")), module.name


def test_mount_points(stage: Stage) -> None:
    for name in ("proc", "sys", "dev", "tmp", "var/tmp", "home", "root", "etc", "mnt", "srv"):
        path = stage.root / name
        assert path.is_dir(), name
        assert not path.is_symlink(), name


def test_mount_points_on_scratch(tmp_path: Path) -> None:
    """With no base the image itself has them, and nothing is in them."""
    tiny = Tiny(tmp_path)
    tiny.works(tiny.good())
    bundle = tmp_path / "bundle"
    output("umoci", "unpack", "--rootless", "--image", f"{tiny.output}:t", bundle)
    for name in ("proc", "sys", "dev", "tmp", "var/tmp", "home", "root", "mnt", "srv"):
        path = bundle / "rootfs" / name
        assert path.is_dir(), name
        assert not [*path.iterdir()], name


def test_programs(stage: Stage) -> None:
    """pyxis starts `/bin/sh`, `--nv` asks `/sbin/ldconfig` and `/bin/sed`."""
    for name in ("bin/sh", "bin/sed", "sbin/ldconfig"):
        assert (stage.root / name).is_file(), name
    assert list((stage.root / "lib64").glob("ld-linux-*"))


def test_no_working_directory(stage: Stage) -> None:
    """pyxis goes there, away from where the job was submitted."""
    assert stage.config.get("WorkingDir", "") in ("", "/")


def test_no_bash_env(stage: Stage) -> None:
    """It would run in every script of the job."""
    assert not {"BASH_ENV", "ENV"} & stage.variables.keys()


def test_prefix_is_not_mounted_over(stage: Stage) -> None:
    prefix = PurePosixPath(stage.variables["CONDA_PREFIX"])
    assert str(prefix) == PREFIX
    assert not [each for each in OVERMOUNTED if prefix.is_relative_to(each)]
    assert len(PREFIX) < 80
