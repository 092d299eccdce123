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
# Pieces of a pattern that every shell and Pixi's read alike; letters are not among them.
_PATTERN_PIECE = re.compile(r"\*|\?|\[!?[0-9](?:-?[0-9])*\]|[^*?\[\]]+")
_PATTERN_HINT = "quote what is no pattern, and let sh expand what is one: sh -c 'wc -l *.txt'"
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
            _check_pattern(word)
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


def subshell(lines: str) -> str:
    """``(…)`` around lines; ``((`` would be arithmetic, in ``bash`` and after ``$``."""
    return f"( {lines})" if lines.startswith("(") else f"({lines})"


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


def _check_pattern(word: Word) -> None:
    """Pixi's shell matches names whatever their case, and knows neither ``[^…]`` nor classes.

    Spec: ``evaluate_word_parts`` in ``execute.rs`` of deno_task_shell 0.33, and the crate
    ``glob``; there too a pattern that matches nothing stays as it is.
    """
    if not word.is_pattern or word.parts == (Text("["),):
        return
    if any(isinstance(part, Text) and "**" in part.text for part in word.parts):
        raise _failure("it uses '**', which sh does not expand", "name the files by find")
    shown = "".join(part.text if isinstance(part, Text) else "…" for part in word.parts)
    if any(
        isinstance(part, Quoted) and set("".join(_texts(part))) & set("*?[]") for part in word.parts
    ):
        raise _failure(f"{shown!r} is a pattern, a part of which is quoted", _PATTERN_HINT)
    if not _is_plain_pattern(word):
        raise _failure(
            f"{shown!r} is a pattern, which Pixi's shell matches otherwise than sh", _PATTERN_HINT
        )


def _is_plain_pattern(word: Word) -> bool:
    """Whether case plays no part in it: no letters beside what is to be matched."""
    steps: list[list[str]] = [[]]  # the names between the slashes, by their pieces
    for part in word.parts:
        if not isinstance(part, Text):
            steps[-1].append("a")  # it may become anything
            continue
        if "".join(_PATTERN_PIECE.findall(part.text)) != part.text:
            return False
        for piece in _PATTERN_PIECE.findall(part.text):
            first, *others = piece.split("/")
            steps[-1].append(first)
            steps += [[each] for each in others]
    return not any(
        any(set(piece) & set("*?[") for piece in step)
        and any(each.isalpha() for piece in step for each in piece)
        for step in steps
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
        return subshell(posix(command.script)) + _redirect(command.redirect)
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
            return f"${subshell(posix(script))}"


def _unquoted(text: str) -> str:
    """Text outside quotes: what makes it a pattern stays bare, the rest is one word."""
    if not set(text) & set("*?["):
        return quoted(text)
    if text == "[":  # the program
        return text
    return "".join(
        piece if piece[0] in "*?[" else quoted(piece) for piece in _PATTERN_PIECE.findall(text)
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
