"""Compile Python sources for an image; run by the interpreter whose bytecode is wanted.

Started as ``pythonX.Y -S -s -B -X utf8 -c <this text>``, needs the standard library alone.
Reads requests until the end of its input and answers each:

    request   4 bytes length, path in the image (UTF-8); 4 bytes length, source
    answer    4 bytes length, the .pyc file; length 0 where the source does not compile

Lengths are big-endian. The ``.pyc`` is of the unchecked-hash kind (PEP 552), so it is valid
whatever its source's time is. It is marshalled as version 2, which has no references
between objects: whether a later version writes one depends on how many other places of the
*compiling process* hold the same string, so its bytes would differ from run to run.
"""

import importlib.util
import marshal
import struct
import sys
import warnings

UNCHECKED_HASH = 0b01


def compile_to_pyc(source: bytes, path: str) -> bytes:
    """The bytes of the ``.pyc`` for ``source``; raises what ``compile`` raises."""
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    try:
        body = marshal.dumps(code, 2)
    except ValueError:  # Python 3.14's constant slices need a later version
        body = marshal.dumps(code)
    header = importlib.util.MAGIC_NUMBER + struct.pack("<I", UNCHECKED_HASH)
    return header + importlib.util.source_hash(source) + body


def main() -> None:
    """Answer requests from standard input."""
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        length = requests.read(4)
        if len(length) < 4:
            return
        path = requests.read(int.from_bytes(length, "big")).decode("utf-8")
        source = requests.read(int.from_bytes(requests.read(4), "big"))
        try:
            pyc = compile_to_pyc(source, path)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
            pyc = b""
        answers.write(len(pyc).to_bytes(4, "big") + pyc)
        answers.flush()


if __name__ == "__main__":
    main()
