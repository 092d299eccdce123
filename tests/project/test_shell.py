"""Commands are read by the rules of Pixi's shell and say the same to ``/bin/sh``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixi_ship.project.obstacle import Inexpressible
from pixi_ship.project.posix import assignment, check, command_line, exec_words, posix, quoted
from pixi_ship.project.shell import parse, parse_value

SHELLS = [path for name in ("sh", "bash", "dash", "busybox") if (path := shutil.which(name))]

# A command, and the words of it where it needs no shell.
WORDS = [
    ("python train.py --epochs 20", ["python", "train.py", "--epochs", "20"]),
    ("  a\tb  # comment", ["a", "b"]),
    ("a \\\n  b", ["a", "b"]),
    ("a 'b c' \"d e\"f", ["a", "b c", "d ef"]),
    ("a --x='1 2'", ["a", "--x=1 2"]),
    ("a b\\ c", ["a", "b c"]),
    ("a \\n\\\\", ["a", "\\n\\\\"]),
    ('a "\\n\\\\x\\"" \'\\\'', ["a", '\\n\\\\x"', "\\"]),
    ("a \\$X \\~ \\` \\( \\)", ["a", "$X", "~", "`", "(", ")"]),
    ('a "\\\'" x~ a#b $ 5$', ["a", "'", "x~", "a#b", "$", "5$"]),
    ("a \"\" ''", ["a", "", ""]),
    ('a {} {x} "{a,b}"', ["a", "{}", "{x}", "{a,b}"]),
    ("a 'it'\\''s' é", None),
    ("a if then", ["a", "if", "then"]),
    ("'if' x", ["if", "x"]),
    ("a 2 >b", None),
    ("a $X", None),
    ("a *.py", None),
    ("a ~", None),
    ("X=1 a", None),
    ("a > b", None),
    ("cd x", None),
    ("a; b", None),
]


@pytest.mark.parametrize(("command", "want"), WORDS)
def test_words(command: str, want: list[str] | None) -> None:
    try:
        found = exec_words(parse(command))
    except Inexpressible:
        found = None
    assert (None if found is None else list(found)) == want


# A command, and what is written for sh.
WRITTEN = [
    ("a && b || c; d\ne", "a && b || c; d; e"),
    ("a | b |& c", "a | { b; } 2>&1 | c"),
    ("! a && b", "! a && b"),
    ("(a; b) > x", "(a; b) >x"),
    ("a &> x", "a >x 2>&1"),
    ("a 2>> x", "a 2>>x"),
    ("a 2>&1", "a 2>&1"),
    ("a >| x", "a >x"),
    ("a < 'b c'", "a <'b c'"),
    ("A=1 B='x y' c $A", "A=1 B='x y' c $A"),
    ("X=1 && echo $X", "X=1 && echo $X"),
    ("export A=b && c", "export A=b && c"),
    ('a "$X/y" $X"y" "${"', None),
    ('a "$X/y" $X"y"', 'a "$X/y" ${X}y'),
    ('a "$X"y "$Xz"', 'a "$X"y "$Xz"'),
    ("a $(b $(c)) `d`", "a $(b $(c)) $(d)"),
    ('a "x $(b "c d") y"', "a \"x $(b 'c d') y\""),
    ("a * b/* [!0-9]? x/*/y", "a * b/* [!0-9]? x/*/y"),
    ("[ -f x ]", "[ -f x ']'"),
    ("a $( (b; c) | d )", "a $( (b; c) | d)"),
    ('a "$( (b) )"', 'a "$( (b))"'),
    ("( (a; b) | c )", "( (a; b) | c)"),
    ('a ~ ~/x "~/y z"', 'a "$HOME" "$HOME"/x "$HOME/y z"'),
    ("'{' a; time b", None),
    ("'{' a", "'{' a"),
    ("'A=1' b", "'A=1' b"),
    ("time b", "'time' b"),
    ("a && # why\n b", "a && b"),
    ("a $?", "a $?"),
    ('a "\\$X" "`b`"', "a '$X' \"$(b)\""),
    ("set -e\na\nb", "set -e; a; b"),
]


@pytest.mark.parametrize(("command", "want"), [row for row in WRITTEN if row[1] is not None])
def test_written_for_sh(command: str, want: str) -> None:
    script = parse(command)
    check(script)
    assert posix(script) == want
    for shell in SHELLS:
        words = [shell, "sh"] if shell.endswith("busybox") else [shell]
        ran = subprocess.run([*words, "-n", "-c", want], capture_output=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, b""), shell


REFUSED = [
    ("sleep 1 &", "in the background"),
    ("sleep 1 & wait", "in the background"),
    ("a ${X}", "takes ${NAME} as it stands"),
    ("a $1", "no arguments like $1"),
    ("a $$", "has no '$$'"),
    ("a $#", "has no '$#'"),
    ("a {b,c}", "{a,b}"),
    ("a {1..3}", "{a,b}"),
    ("cat **/*.py", "'**'"),
    ("cat *.py", "'*.py' is a pattern"),
    ("cat b'c'*", "'b…*' is a pattern"),
    ("cat $X*", "'…*' is a pattern"),
    ("cat '*'*", "a part of which is quoted"),
    ("cat [^0]*", "'[^0]*' is a pattern"),
    ("cat [0-9a]", "is a pattern"),
    ("cat [[:digit:]]*", "is a pattern"),
    ("cat *[", "is a pattern"),
    ("pip install .[dev]", "'.[dev]' is a pattern"),
    ("if true; then a; fi", "has no 'if'"),
    ("for x in a; do b; done", "has no 'for'"),
    ("!a", "history"),
    ("a > b > c", "one redirection"),
    ("a << E", "does not read"),
    ("a>b", "does not read '>b'"),
    ("a (b)", "does not read '(b)'"),
    ("(a", "does not read"),
    ("a)", "does not read ')'"),
    ("()", "does not read"),
    ("&& a", "does not read '&& a'"),
    ("a &&", "does not read"),
    ("a 'b", "single quote is not closed"),
    ('a "b', "double quote is not closed"),
    ("a $(b", "'$(' is not closed"),
    ("a `b", "a backtick is not closed"),
    ("a ~b", "'~' alone"),
    ("A=1 B=2", "does not read"),
    ("A=*.py b", "expands the pattern in A=…"),
    ("a > *", "redirects to a pattern"),
    ("source x", "has no 'source'"),
    (". x", "has no '.'"),
    ("eval a", "has no 'eval'"),
    ("shopt -s nullglob", "an option of Pixi's shell with 'shopt'"),
    ("set -o pipefail; a | b", "an option of Pixi's shell with 'set'"),
    ("set -e; a && b; c", "after 'set -e'"),
    ("echo -n a", "lets echo write"),
    ("echo 'a\\nb'", "lets echo write"),
    ("cd $INIT_CWD", "$INIT_CWD"),
    ("a $(source b)", "has no 'source'"),
    ("a\0b", "NUL"),
    ("", "its command is empty"),
    ("# nothing", "its command is empty"),
    ("a " * 40000, "more than 64 Ki"),
    ("$(" * 50 + "a" + ")" * 50, "nests too deep"),
    ("(" * 5000, "nests too deep"),
]


@pytest.mark.parametrize(("command", "want"), REFUSED, ids=lambda text: text[:30])
def test_refused(command: str, want: str) -> None:
    with pytest.raises(Inexpressible) as caught:
        check(parse(command))
    assert want in caught.value.reason


@pytest.mark.parametrize(
    ("command", "want"),
    [
        ("echo $( (echo 1; echo 2) | cat )", "1 2\n"),
        ("( (echo 1; exit 3) || echo $? )", "1\n3\n"),
        ("echo *", "A B.C\n"),
        ("echo ?", "A\n"),
        ("echo [0-9]* '*'", "[0-9]* *\n"),
    ],
)
def test_what_is_written_does_the_same_in_every_shell(
    tmp_path: Path, command: str, want: str
) -> None:
    for name in ("A", "B.C", ".hidden"):
        (tmp_path / name).touch()
    script = parse(command)
    check(script)
    for shell in SHELLS:
        words = [shell, "sh"] if shell.endswith("busybox") else [shell]
        ran = subprocess.run(
            [*words, "-c", posix(script)], capture_output=True, check=False, cwd=tmp_path, text=True
        )
        assert (ran.stdout, ran.stderr) == (want, ""), shell


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@settings(max_examples=60)
@given(st.lists(texts, max_size=6))
def test_any_words_come_through_sh(words: list[str]) -> None:
    line = command_line(["printf", "%s\\0", *words])
    for shell in SHELLS[:2]:
        ran = subprocess.run([shell, "-c", line], capture_output=True, check=True)
        assert ran.stdout == b"".join(word.encode() + b"\0" for word in words or [""])


@settings(max_examples=60)
@given(texts)
def test_a_single_quoted_text_stays_as_it_is(text: str) -> None:
    text = text.replace("'", "")
    script = parse(f"a '{text}'")
    assert exec_words(script) == ("a", text)
    assert posix(script) == f"a {quoted(text)}"


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab $\"'\\`(){},~*?[]<>|&;!#=-\n1."), max_size=25))
def test_whatever_is_read_sh_reads_too(text: str) -> None:
    """No text makes anything but a script or a reason; a script is one that sh can read."""
    try:
        script = parse(text)
        check(script)
    except Inexpressible:
        return
    ran = subprocess.run(
        ["sh", "-n"], input=posix(script).encode(), capture_output=True, check=False
    )
    assert ran.stderr == b"", posix(script)


@pytest.mark.parametrize(
    ("value", "want"),
    [("a b", "a b"), ("$X:y", "x:y"), ('say "hi"', 'say "hi"'), ("a'b", "a'b"), ("$(echo 1)", "1")],
)
def test_values_of_variables(tmp_path: Path, value: str, want: str) -> None:
    line = f'X=x; {assignment("V", parse_value(value))}; printf %s "$V"'
    ran = subprocess.run(["sh", "-c", line], capture_output=True, check=True, cwd=tmp_path)
    assert ran.stdout.decode() == want
