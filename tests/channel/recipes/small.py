"""Packages that each make one point: virtual dependencies, link scripts, very many files."""

from __future__ import annotations

from ..conda_package import PLACEHOLDER, CondaPackage, Entry, script, text_file

MANY = 20_000
PER_FOLDER = 200


def packages() -> list[CondaPackage]:
    return [_gpu_thing(), _postlink(), _many_files()]


def _gpu_thing() -> CondaPackage:
    return CondaPackage(
        "gpu-thing",
        "12.4",
        [script("bin/gpu-thing", "#!/bin/sh\necho gpu-thing\n")],
        build="cuda12_h0000000_0",
        depends=["__cuda >=12", "__glibc >=2.17"],
        summary="Wants a GPU",
    )


def _postlink() -> CondaPackage:
    entries: list[Entry] = [
        script("bin/.postlink-post-link.sh", '#!/bin/sh\necho linked > "$PREFIX/postlink-ran"\n'),
        script("bin/.postlink-pre-unlink.sh", '#!/bin/sh\nrm -f "$PREFIX/postlink-ran"\n'),
        text_file("etc/postlink.conf", f"root = {PLACEHOLDER}\n"),
    ]
    return CondaPackage(
        "postlink", "1.0", entries, extension=".tar.bz2", summary="Has link scripts"
    )


def _many_files() -> CondaPackage:
    root = "site-packages/many_files"
    folders = [f"{root}/group_{group:03}" for group in range(MANY // PER_FOLDER)]
    entries: list[Entry] = [text_file(f"{root}/__init__.py", "")]
    for folder in folders:
        for number in range(0, PER_FOLDER, 2):
            entries.append(text_file(f"{folder}/m{number}.py", f"VALUE = {number}\n"))
            entries.append(text_file(f"{folder}/d{number}.txt", f"{folder} {number}\n"))
    return CondaPackage(
        "many-files",
        "1.0",
        entries,
        build="py_0",
        subdir="noarch",
        noarch="python",
        depends=["python"],
        summary=f"{MANY} small files",
    )
