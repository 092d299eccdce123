"""Records of a local channel, chosen by specs, as a lock file or `rattler.install` wants them."""

from __future__ import annotations

from pathlib import Path

from rattler import Channel, MatchSpec, RepoDataRecord, SparseRepoData

SUBDIRS = ("linux-64", "noarch")


class ChannelRecords:
    """What a channel directory has; `url` where it will be, when that is elsewhere."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        url = url or directory.resolve().as_uri()
        self.records: list[RepoDataRecord] = []
        for subdir in SUBDIRS:
            repodata = directory / subdir / "repodata.json"
            with SparseRepoData(Channel(url), subdir, repodata) as sparse:
                self.records += sparse.load_all_records()

    def choose(self, *specs: str) -> list[RepoDataRecord]:
        """The newest match of every spec and whatever it depends on, each name once."""
        chosen: dict[str, RepoDataRecord] = {}
        wanted = list(specs)
        while wanted:
            spec = MatchSpec(wanted.pop(0))
            record = self._newest(spec)
            name = record.name.normalized
            if name not in chosen:
                chosen[name] = record
                wanted += [need for need in record.depends if not need.startswith("__")]
        return sorted(chosen.values(), key=lambda record: record.name.normalized)

    def _newest(self, spec: MatchSpec) -> RepoDataRecord:
        matches = [record for record in self.records if spec.matches(record)]
        if not matches:
            raise LookupError(f"the test channel has nothing that matches {spec}")
        return max(matches, key=lambda record: (record.version, record.build_number))
