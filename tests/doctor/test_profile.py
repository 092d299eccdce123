"""A proposed profile says what was found, and is one that jobs can be described with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixi_ship.doctor.htcondor import Pool, parse_pool
from pixi_ship.doctor.profile import proposed_profile
from pixi_ship.doctor.site import SiteFacts
from pixi_ship.doctor.slurm import Cluster, parse_partitions
from pixi_ship.job.site import Launcher, Site, read_site

from .test_parsing import data

CLUSTER = Cluster(
    version="26.05.5",
    name="lab",
    partitions=parse_partitions(data("sinfo.txt")),
    accounts=("astro", "physics"),
    default_account="physics",
    local="/tmp",
)
FACTS = SiteFacts(
    host="login1", directory="/home/me", directory_kind="nfs4", is_shared=True, cluster=CLUSTER
)
BARE = replace(FACTS, cluster=Cluster(version="23.02"))


def site_of(facts: SiteFacts, tmp_path: Path) -> Site:
    path = tmp_path / "site.toml"
    path.write_text(proposed_profile(facts), "utf-8")
    return read_site([path])


def test_the_lab(tmp_path: Path) -> None:
    facts = replace(
        FACTS,
        runtime="apptainer",
        pool=parse_pool(data("condor-status.json"), "25.14.1"),
        scratch=("/scratch",),
    )
    site = site_of(facts, tmp_path)
    assert (site.partition, site.account, site.launcher) == ("main", "physics", Launcher.APPTAINER)
    assert site.shared
    assert site.common_image
    text = proposed_profile(facts)
    assert "# /home/me is on nfs4, which comes over a network: nodes may see it.\n" in text
    assert "# partition = 'crowd': 1 node of 4 cores" in text
    assert "# also: astro\n" in text
    assert 'scratch = "/scratch"' in text


def test_every_line_has_its_reason() -> None:
    facts = replace(FACTS, runtime="singularity", pool=Pool(version="24"))
    lines = proposed_profile(replace(facts, module="singularity/3.8")).splitlines()
    before = [lines[at - 1] for at, line in enumerate(lines) if " = " in line and line[0] != "#"]
    assert len(before) == 7
    assert all(line.startswith("# ") for line in before)


@pytest.mark.parametrize(
    ("change", "launcher", "modules", "lines"),
    [
        ({"runtime": "apptainer", "module": "apptainer/1"}, Launcher.APPTAINER, (), 0),
        ({"module": "apptainer/1.4"}, Launcher.APPTAINER, ("apptainer/1.4",), 0),
        ({"module": "singularity/3.8"}, Launcher.APPTAINER, ("singularity/3.8",), 1),
        ({"runtime": "singularity"}, Launcher.APPTAINER, (), 1),
        ({}, Launcher.APPTAINER, (), 0),
        ({"cluster": replace(CLUSTER, pyxis=True)}, Launcher.PYXIS, (), 0),
    ],
)
def test_what_starts_containers(
    change: dict[str, object],
    launcher: Launcher,
    modules: tuple[str, ...],
    lines: int,
    tmp_path: Path,
) -> None:
    site = site_of(replace(FACTS, **change), tmp_path)  # type: ignore[arg-type]
    assert (site.launcher, site.modules, len(site.lines)) == (launcher, modules, lines)


def test_a_directory_that_nodes_do_not_see(tmp_path: Path) -> None:
    facts = replace(FACTS, is_shared=False, cluster=replace(CLUSTER, local="/local"))
    site = site_of(facts, tmp_path)
    assert (site.shared, site.scratch) == (False, "/local")
    assert site.images == "/local/pixi-ship-images-$USER"


def test_choices_that_are_left_to_people(tmp_path: Path) -> None:
    """Nothing is guessed where there are several, none of them the default."""
    partitions = tuple(replace(each, is_default=False) for each in CLUSTER.partitions)
    facts = replace(FACTS, cluster=replace(CLUSTER, partitions=partitions, default_account=None))
    site = site_of(facts, tmp_path)
    assert (site.partition, site.account) == (None, None)
    assert "choose one" in proposed_profile(facts)


def test_the_only_ones_are_taken(tmp_path: Path) -> None:
    (_, crowd) = CLUSTER.partitions
    one = replace(CLUSTER, partitions=(crowd,), accounts=("astro",), default_account=None)
    site = site_of(replace(FACTS, cluster=one), tmp_path)
    assert (site.partition, site.account) == ("crowd", "astro")


def test_nothing_found(tmp_path: Path) -> None:
    assert site_of(replace(FACTS, cluster=None), tmp_path) == Site()
    assert site_of(BARE, tmp_path).partition is None


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="|")))
def test_names_are_data(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Whatever a scheduler calls its things, they add nothing to the profile but a name."""
    if "\n" in name or "\0" in name:
        return  # no partition can be called so, and a profile takes none
    partition = replace(CLUSTER.partitions[0], name=name, gres=(name,))
    cluster = replace(CLUSTER, name=name, partitions=(partition,), accounts=(name,), version=name)
    facts = replace(FACTS, cluster=cluster, host=name, directory_kind=name)
    site = site_of(facts, tmp_path_factory.mktemp("profile"))
    assert site == Site(partition=name, account="physics", shared=True)
