"""Write a script for ``/bin/sh``, so that it does what Pixi's own shell does with it.

Spec: POSIX.1-2024, XCU chapter 2; dash, bash and busybox read what is written here alike.
"""

from __future__ import annotations

import re
from collections import abc

from pixi_ship.project.obstacle import Inexpressible, Obstacle
from pixi_ship.project.shell import (
    Command,
    Home,
    Part,
    Quoted,
    Redirect,
    Script,
    Sequence,
    Simple,
    Subshell,
    Substitution,
    Text,
    Variable,
    Word,
    simple_commands,
)

# Commands of Pixi's shell that change the shell itself, so that they are no programs.
OF_THE_SHELL = frozenset({"cd", "exit", "export", "set", "unset", ":"})
# What sh has and Pixi's shell has not: there it would be looked for as a program.
_NOT_IN_PIXI = frozenset(
    {
        *(".", "source", "eval", "exec", "trap", "alias", "unalias", "read", "wait", "local"),
        *("return", "shift", "command", "type", "getopts", "break", "continue", "times", "hash"),
        *("jobs", "bg", "fg", "ulimit", "umask", "let", "declare", "typeset", "readonly"),
        *("builtin", "pushd", "popd"),
    }
)
_RESERVED = frozenset(
    {
        *("if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until"),
        *("for", "in", "{", "}", "!", "[[", "]]", "function", "select", "time", "coproc"),
    }
)
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_PATTERN_PIECE = re.compile(r"[*?\[\]!^]|[^*?\[\]!^]+")
_ERREXIT = ({"-e"}, {"+e"}, {"-o", "errexit"}, {"+o", "errexit"})


def check(script: Script) -> None:
    """Raise Inexpressible for commands that mean something else to ``sh``."""
    ends_on_error = False
    for command in simple_commands(script):
        words = [word.literal for word in command.words]
        name = words[0] if words else None
        if name in _NOT_IN_PIXI:
            raise _failure(f"Pixi's shell has no {name!r}")
        if name == "shopt" or (name == "set" and set(words[1:]) not in _ERREXIT):
            raise _failure(f"it sets an option of Pixi's shell with {name!r}")
        ends_on_error |= name == "set"
        if name == "echo":
            _check_echo(command)
        for word in command.words:
            if any(isinstance(part, Text) and "**" in part.text for part in word.parts):
                raise _failure("it uses '**', which sh does not expand", "name the files by find")
            if _names(word, "INIT_CWD"):
                raise _failure("it uses $INIT_CWD, where 'pixi run' was called")
    if ends_on_error and any(
        len(each.pipelines) > 1 or each.pipelines[0].negated for each in script.sequences
    ):
        raise _failure("after 'set -e' Pixi's shell ends at a failed '&&', and sh goes on")


def ends_on_error(script: Script) -> bool:
    """Whether it says ``set -e``."""
    return any(
        command.words and command.words[0].literal == "set" for command in simple_commands(script)
    )


def exec_words(script: Script) -> tuple[str, ...] | None:
    """The words of a script that is one command and needs no shell."""
    command = script.only
    if command is None or command.assignments or command.redirect:
        return None
    words = [word.literal for word in command.words]
    if words[0] in OF_THE_SHELL or None in words:
        return None
    return tuple(word for word in words if word is not None)


def posix(script: Script) -> str:
    """The script as one line for ``sh -c``."""
    return "; ".join(_sequence(sequence) for sequence in script.sequences)


def assignment(name: str, word: Word) -> str:
    """``NAME=value``."""
    return f"{name}={_word(word)}"


def command_line(words: abc.Sequence[str]) -> str:
    """Words as a shell reads them; the first is a program even where it is a word of sh."""
    first = words[0]
    name = f"'{first}'" if first in _RESERVED or "=" in first else quoted(first)
    return " ".join([name, *(quoted(word) for word in words[1:])])


def quoted(text: str) -> str:
    """A text as one word."""
    if _PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def _failure(reason: str, hint: str | None = None) -> Inexpressible:
    return Inexpressible(Obstacle.SHELL, reason, hint)


def _check_echo(command: Simple) -> None:
    """Pixi's echo writes its words as they are; those of shells know options and escapes."""
    for place, word in enumerate(command.words[1:]):
        text = "".join(
            part.text if isinstance(part, Text) else "".join(_texts(part)) for part in word.parts
        )
        if "\\" in text or (place == 0 and text.startswith("-")):
            raise _failure(
                "it lets echo write a backslash or an option, which echos write differently",
                "use printf",
            )


def _texts(part: Part) -> list[str]:
    if isinstance(part, Quoted):
        return [each.text for each in part.parts if isinstance(each, Text)]
    return []


def _names(word: Word, variable: str) -> bool:
    flat = [
        each
        for part in word.parts
        for each in (part.parts if isinstance(part, Quoted) else (part,))
    ]
    return Variable(variable) in flat


def _sequence(sequence: Sequence) -> str:
    pieces = []
    for place, pipeline in enumerate(sequence.pipelines):
        if place:
            pieces.append(sequence.operators[place - 1])
        if pipeline.negated:
            pieces.append("!")
        for number, command in enumerate(pipeline.commands):
            if number:
                pieces.append("|")
            text = _command(command)
            if number < len(pipeline.with_errors) and pipeline.with_errors[number]:
                text = f"{{ {text}; }} 2>&1"
            pieces.append(text)
    return " ".join(pieces)


def _command(command: Command) -> str:
    if isinstance(command, Subshell):
        return f"({posix(command.script)})" + _redirect(command.redirect)
    pieces = [assignment(name, word) for name, word in command.assignments]
    for place, word in enumerate(command.words):
        text = _word(word)
        if place == 0 and (text in _RESERVED or "=" in text):
            text = "'" + (word.literal or "").replace("'", "'\\''") + "'" if word.literal else text
        pieces.append(text)
    return " ".join(pieces) + _redirect(command.redirect)


def _redirect(redirect: Redirect | None) -> str:
    if redirect is None:
        return ""
    target = redirect.target if isinstance(redirect.target, int) else _word(redirect.target)
    what = f"&{target}" if isinstance(redirect.target, int) else str(target)
    if redirect.descriptor == "&":
        return f" {redirect.operator}{what} 2>&1"
    return f" {redirect.descriptor}{redirect.operator}{what}"


def _word(word: Word) -> str:
    pieces: list[str] = []
    for part in reversed(word.parts):
        following = pieces[-1] if pieces else ""
        pieces.append(_part(part, following))
    return "".join(reversed(pieces))


def _part(part: Part, following: str) -> str:
    match part:
        case Text(text):
            return _unquoted(text)
        case Quoted(parts):
            return _quoted(parts)
        case _:
            return _expansion(part, following)


def _expansion(part: Variable | Home | Substitution, following: str) -> str:
    match part:
        case Variable(name):
            joins = bool(following) and (following[0].isalnum() or following[0] == "_")
            return f"${{{name}}}" if joins else f"${name}"
        case Home():
            return '"$HOME"'
        case Substitution(script):
            return f"$({posix(script)})"


def _unquoted(text: str) -> str:
    """Text outside quotes: what makes it a pattern stays bare, the rest is one word."""
    if not set(text) & set("*?["):
        return quoted(text)
    return "".join(
        piece if len(piece) == 1 and piece in "*?[]!^" else quoted(piece)
        for piece in _PATTERN_PIECE.findall(text)
    )


def _quoted(parts: tuple[Text | Variable | Home | Substitution, ...]) -> str:
    if all(isinstance(part, Text) for part in parts):
        return quoted("".join(part.text for part in parts if isinstance(part, Text)))
    pieces: list[str] = []
    for part in reversed(parts):
        if isinstance(part, Text):
            pieces.append(re.sub(r'([\\"$`])', r"\\\1", part.text))
        else:
            text = _expansion(part, pieces[-1] if pieces else "")
            pieces.append("$HOME" if isinstance(part, Home) else text)
    return '"' + "".join(reversed(pieces)) + '"'
