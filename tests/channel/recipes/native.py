"""`native`, a C program and its shared library that both remember their prefix."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from ..conda_package import PLACEHOLDER, CondaPackage, Entry, File, Link, script, text_file
from ..tools import compiler, run

LIBRARY = r"""
/* One C string that holds the prefix twice and goes on after it. */
const char search_path[] = PREFIX "/share/native:" PREFIX "/lib/native:/usr/share/native";
const char *native_search_path(void) { return search_path; }
"""

PROGRAM = r"""
#include <stdio.h>
#include <string.h>

const char *native_search_path(void);
const char prefix[] = PREFIX;
const char message[] = PREFIX "/share/native/message.txt";

int main(int argc, char **argv) {
    char line[1024];
    FILE *file = fopen(message, "r");
    printf("prefix %s\nsearch %s\n", prefix, native_search_path());
    for (int i = 1; i < argc; i++) printf("argument %s\n", argv[i]);
    if (!file) { printf("no message at %s\n", message); return 1; }
    while (fgets(line, sizeof line, file)) fputs(line, stdout);
    return fclose(file);
}
"""

FAR_AWAY = "libexec/" + "/".join(f"a-folder-deep-down-{depth}" for depth in range(7))
"""With any prefix before it a shebang of more than the kernel's 127 bytes."""


def packages() -> list[CondaPackage]:
    program, library = _compile()
    ours, helper = "share/native", f"{FAR_AWAY}/native"
    entries: list[Entry] = [
        File("bin/native", program, 0o755, "binary"),
        script("bin/native-script", f"#!{PLACEHOLDER}/bin/native --script\nhome {PLACEHOLDER}\n"),
        script("bin/native-far", f"#!{PLACEHOLDER}/{helper}\nread by native itself\n"),
        script("bin/native-sh", f'#!/bin/sh\nexec "{PLACEHOLDER}/bin/native" "$@"\n'),
        Link("lib/libnative.so", "libnative.so.1"),
        Link("lib/libnative.so.1", "libnative.so.1.0"),
        File("lib/libnative.so.1.0", library, 0o755, "binary"),
        text_file("lib/pkgconfig/native.pc", f"prefix={PLACEHOLDER}\nLibs: -L{PLACEHOLDER}/lib\n"),
        Link(helper, "../" * (FAR_AWAY.count("/") + 1) + "bin/native"),
        text_file(f"{ours}/message.txt", f"the message of {PLACEHOLDER}\n"),
        text_file(f"{ours}/private.txt", "for the owner's eyes\n", mode=0o600),
        text_file(f"{ours}/shared-by-group.sh", "#!/bin/sh\ntrue\n", mode=0o775),
        File("bin/native-setuid", b"#!/bin/sh\nid -u\n", 0o4755),
    ]
    return [
        CondaPackage("native", "1.0", entries, depends=["__glibc >=2.17"], summary="A C program")
    ]


def _compile() -> tuple[bytes, bytes]:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        library, program = folder / "libnative.so.1.0", folder / "native"
        library_source, program_source = folder / "library.c", folder / "program.c"
        library_source.write_text(LIBRARY)
        program_source.write_text(PROGRAM)
        # -O0: an optimiser may fold strlen(prefix), which no relocation can mend.
        flags = ["-O0", f'-DPREFIX="{PLACEHOLDER}"', "-Wl,--build-id=none"]
        soname = "-Wl,-soname,libnative.so.1"
        run(compiler(), *flags, "-shared", "-fPIC", soname, library_source, "-o", library)
        rpath = "-Wl,-rpath,$ORIGIN/../lib"
        run(compiler(), *flags, program_source, library, rpath, "-o", program)
        return program.read_bytes(), library.read_bytes()
