"""A container registry with an address of its own in the lab's network."""

from __future__ import annotations

from lab.machine import Machine
from lab.service import Service, Site, wait_until

PORT = 5000

# Anything can be deleted, so that tests may clean up after themselves.
_CONFIGURATION = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: /scratch/registry}}
  delete: {{enabled: true}}
http:
  addr: {address}
"""

_LOG = "registry.log"


def _prepare(machine: Machine, site: Site) -> None:
    machine.put("/etc/docker/registry/config.yml", _CONFIGURATION.format(address=site.registry))


def _start(machine: Machine) -> None:
    machine.serve("docker-registry", "serve", "/etc/docker/registry/config.yml", log=_LOG)
    log = machine.logs / _LOG
    wait_until("the registry listens", lambda: "listening on" in log.read_text(), str(log))


REGISTRY = Service("registry", _prepare, _start)
