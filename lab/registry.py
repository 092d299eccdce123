"""Registries with an address of their own in the lab's network; one of them wants a login."""

from __future__ import annotations

from pathlib import Path

from lab.machine import Machine
from lab.service import Service, Site, wait_until

PORT = 5000
PRIVATE_PORT = 5001
LOGIN = ("someone", "lab-only")
"""Name and password that the private one wants."""

_HASH = "$2y$05$b0bacd7a207164512425buigERwrOhFGKGsnREJ/EkhZBPDPIaIVy"  # by bcrypt, of LOGIN's

# Anything can be deleted, so that tests may clean up after themselves.
_CONFIGURATION = """\
version: 0.1
log: {{level: info, accesslog: {{disabled: false}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http:
  addr: {address}
"""
_AUTH = "auth: {htpasswd: {realm: lab, path: /etc/docker/registry/htpasswd}}\n"


def _prepare(machine: Machine, site: Site) -> None:
    host = site.registry.partition(":")[0]
    folder = "/etc/docker/registry"
    one = _CONFIGURATION.format(address=site.registry, folder="/scratch/registry")
    other = _CONFIGURATION.format(address=f"{host}:{PRIVATE_PORT}", folder="/scratch/private")
    machine.put(f"{folder}/registry.yml", one)
    machine.put(f"{folder}/private.yml", other + _AUTH)
    machine.put(f"{folder}/htpasswd", f"{LOGIN[0]}:{_HASH}\n")


def _start(machine: Machine) -> None:
    for name in ("registry", "private"):
        machine.serve(
            *("docker-registry", "serve", f"/etc/docker/registry/{name}.yml"), log=f"{name}.log"
        )
        _await_listening(machine.logs / f"{name}.log")


def _await_listening(log: Path) -> None:
    wait_until("the registry listens", lambda: "listening on" in log.read_text(), str(log))


REGISTRY = Service("registry", _prepare, _start)
