"""The language of task commands: what Pixi's own shell reads, as data.

Pixi runs tasks in ``deno_task_shell``, whose grammar is near POSIX's and not the same: a
backslash quotes few characters, ``${NAME}`` is no variable, ``{a,b}`` is expanded, a command
has one redirection at most. So a command is parsed by those rules (its ``parser.rs``, 0.33,
and ``docs/workspace/advanced_tasks.md`` of Pixi) and written anew for ``/bin/sh``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pixi_ship.project.obstacle import Inexpressible, Obstacle

MAX_COMMAND = 64 << 10  # characters; more is no command line
MAX_DEPTH = 40  # substitutions and subshells in each other


@dataclass(frozen=True, slots=True)
class Text:
    """Characters that stand for themselves; outside quotes ``*``, ``?`` and ``[`` are patterns."""

    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """``$NAME``; ``?`` is the last command's status."""

    name: str


@dataclass(frozen=True, slots=True)
class Home:
    """``~``, alone or before a slash."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """What a script prints."""

    script: Script


@dataclass(frozen=True, slots=True)
class Quoted:
    """Parts between quotes, which are neither split nor patterns."""

    parts: tuple[Text | Variable | Home | Substitution, ...]


Part = Text | Variable | Home | Substitution | Quoted


@dataclass(frozen=True, slots=True)
class Word:
    """One word, which may become several when it is expanded."""

    parts: tuple[Part, ...]

    @property
    def literal(self) -> str | None:
        """The text of a word that nothing is expanded in."""
        found = []
        for part in self.parts:
            inner = part.parts if isinstance(part, Quoted) else (part,)
            for each in inner:
                if not isinstance(each, Text):
                    return None
                found.append(each.text)
        return None if self.is_pattern else "".join(found)

    @property
    def is_pattern(self) -> bool:
        """Whether it names files by ``*``, ``?`` or ``[``."""
        return any(isinstance(part, Text) and set(part.text) & set("*?[") for part in self.parts)


@dataclass(frozen=True, slots=True)
class Redirect:
    """``descriptor`` is a number, ``&`` for both outputs, or empty; ``target`` a file or number."""

    descriptor: str
    operator: str
    target: Word | int


@dataclass(frozen=True, slots=True)
class Simple:
    """Assignments, then words; without words the assignments stay."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirect: Redirect | None = None


@dataclass(frozen=True, slots=True)
class Subshell:
    """``( … )``."""

    script: Script
    redirect: Redirect | None = None


Command = Simple | Subshell


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by ``|``, or by ``|&`` where ``with_errors`` says so of the one before."""

    negated: bool
    commands: tuple[Command, ...]
    with_errors: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Pipelines joined by ``&&`` and ``||``."""

    pipelines: tuple[Pipeline, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """Sequences that run one after the other, whatever the ones before gave."""

    sequences: tuple[Sequence, ...]

    @property
    def only(self) -> Simple | None:
        """The one simple command that it is, if it is one."""
        if len(self.sequences) == 1 and len(self.sequences[0].pipelines) == 1:
            pipeline = self.sequences[0].pipelines[0]
            command = pipeline.commands[0]
            if len(pipeline.commands) == 1 and not pipeline.negated:
                return command if isinstance(command, Simple) else None
        return None


def simple_commands(script: Script) -> Iterator[Simple]:
    """Every simple command of a script, those in substitutions too."""
    for sequence in script.sequences:
        for pipeline in sequence.pipelines:
            for command in pipeline.commands:
                if isinstance(command, Subshell):
                    yield from simple_commands(command.script)
                    continue
                yield command
                words = [*command.words, *(word for _, word in command.assignments)]
                for word in words:
                    for inner in _substitutions(word.parts):
                        yield from simple_commands(inner)


def _substitutions(parts: tuple[Part, ...]) -> Iterator[Script]:
    for part in parts:
        if isinstance(part, Substitution):
            yield part.script
        elif isinstance(part, Quoted):
            yield from _substitutions(part.parts)


def parse(command: str) -> Script:
    """Read a task's command; raises Inexpressible for what Pixi refuses or POSIX lacks."""
    if len(command) > MAX_COMMAND:
        raise _failure(f"its command has more than {MAX_COMMAND >> 10} Ki characters")
    if "\0" in command:
        raise _failure("its command holds a NUL")
    reader = _Reader(command.strip().replace("\r\n", "\n"))
    script = reader.script()
    if not reader.at_end:
        raise reader.unexpected()
    if not script.sequences:
        raise Inexpressible(Obstacle.EMPTY, "its command is empty")
    return script


def parse_value(text: str) -> Word:
    """Read the value of a variable that a task sets: what stands between double quotes."""
    reader = _Reader(text.replace('"', '\\"') + '"')
    parts = reader.between_double_quotes()
    if not reader.at_end:
        raise reader.unexpected()
    return Word((Quoted(parts),))


_NAME = re.compile(r"[A-Za-z0-9_]+")
_ASSIGNMENT = re.compile(r"([A-Za-z0-9_]+)=")
_REDIRECT = re.compile(r"(\d+|&)?(>>|>\||>|<)(?:&(\d+))?")
_RESERVED = frozenset(
    (Text(word),)
    for word in (
        *("if", "then", "else", "elif", "fi", "do", "done"),
        *("case", "esac", "while", "until", "for", "in"),
    )
)
_NO_TEXT = frozenset(" \t\n()<>|&;\"'`$\\~")
_BRACES = re.compile(r"\{[^{}\s]*(?:,|\.\.)[^{}\s]*\}")


def _failure(reason: str, hint: str | None = None) -> Inexpressible:
    return Inexpressible(Obstacle.SHELL, reason, hint)


class _Reader:
    """A place in a command, moved on by what is read; one method per rule of the grammar."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self._text = text
        self._at = 0
        self._depth = depth

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def unexpected(self) -> Inexpressible:
        rest = self._text[self._at : self._at + 30].splitlines() or [""]
        return _failure(f"Pixi's shell does not read {rest[0]!r} where it stands")

    def _next(self, length: int = 1) -> str:
        return self._text[self._at : self._at + length]

    def _take(self, word: str) -> bool:
        if self._text.startswith(word, self._at):
            self._at += len(word)
            return True
        return False

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _blanks(self, *, lines: bool = False) -> None:
        """Skip blanks, continued lines and a comment; with ``lines`` also newlines."""
        while True:
            if self._next() in (" ", "\t") or (lines and self._next() == "\n"):
                self._at += 1
            elif self._next(2) == "\\\n":
                self._at += 2
            elif self._next() == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return

    def script(self) -> Script:
        sequences = []
        self._blanks(lines=True)
        while not self.at_end and self._next() != ")":
            sequences.append(self._sequence())
            self._blanks()
            if self._next() == "&" and self._next(2) != "&&":
                raise _failure(
                    "it starts a command in the background with '&'",
                    "the image's command is one that ends when its work is done",
                )
            if not (self._take(";") or self._next() == "\n"):
                break
            self._blanks(lines=True)
        return Script(tuple(sequences))

    def _sequence(self) -> Sequence:
        pipelines, operators = [self._pipeline()], []
        while self._next(2) in ("&&", "||"):
            operators.append(self._next(2))
            self._at += 2
            self._blanks(lines=True)
            pipelines.append(self._pipeline())
        return Sequence(tuple(pipelines), tuple(operators))

    def _pipeline(self) -> Pipeline:
        negated = self._next() == "!" and self._next(2)[1:] in (" ", "\t", "\n")
        if negated:
            self._at += 1
            self._blanks()
        commands, with_errors = [self._command()], []
        while self._next() == "|" and self._next(2) != "||":
            self._at += 1
            with_errors.append(self._take("&"))
            self._blanks(lines=True)
            commands.append(self._command())
        return Pipeline(negated, tuple(commands), tuple(with_errors))

    def _command(self) -> Command:
        if self._take("("):
            script = self._inner(lambda: self.script())
            if not self._take(")"):
                raise self.unexpected()
            self._blanks()
            return Subshell(script, self._redirect())
        assignments = []
        while found := self._match(_ASSIGNMENT):
            assignments.append((found[1], Word(self._parts())))
            self._after_word()
        words: list[Word] = []
        while not self.at_end and not self._ends_command():
            word = Word(self._parts())
            if not word.parts:
                raise self.unexpected()
            self._after_word()
            words.append(word)
        self._check(assignments, words)
        return Simple(tuple(assignments), tuple(words), self._redirect())

    def _check(self, assignments: list[tuple[str, Word]], words: list[Word]) -> None:
        if not words and len(assignments) != 1:
            raise self.unexpected()
        if words and words[0].parts in _RESERVED:
            raise _failure(f"Pixi's shell has no {words[0].literal!r}")
        if words and (words[0].literal or "").startswith("!"):
            raise _failure("Pixi's shell has no history, which '!' would name")
        for name, word in assignments:
            if name[0].isdigit():
                raise _failure(f"{name!r} is no name of a variable")
            if word.is_pattern:
                raise _failure(f"Pixi expands the pattern in {name}=…, and sh does not")

    def _ends_command(self) -> bool:
        return self._next() in "\n;&|)" or bool(_REDIRECT.match(self._text, self._at))

    def _after_word(self) -> None:
        if not self.at_end and self._next() not in " \t\n;&|()":
            raise self.unexpected()
        self._blanks()

    def _redirect(self) -> Redirect | None:
        found = self._match(_REDIRECT)
        if found is None:
            return None
        target: Word | int
        if found[3] is not None:
            target = int(found[3])
        else:
            self._blanks()
            target = Word(self._parts())
            if not target.parts:
                raise self.unexpected()
            if target.is_pattern:
                raise _failure("it redirects to a pattern")
        self._blanks()
        if _REDIRECT.match(self._text, self._at):
            raise _failure("Pixi's shell takes one redirection for a command")
        return Redirect(found[1] or "", ">" if found[2] == ">|" else found[2], target)

    def _parts(self) -> tuple[Part, ...]:
        """The parts of a word, up to a blank or an operator."""
        parts: list[Part] = []
        text = ""

        def end_text() -> None:
            nonlocal text
            if text:
                parts.append(Text(text))
            text = ""

        while not self.at_end:
            special: Part | str | None = None
            if self._take("'"):
                special = Quoted((Text(self._until("'")),))
            elif self._take('"'):
                special = Quoted(self.between_double_quotes())
            elif self._next() == "~" and not parts and not text:
                special = self._home(" \t\n;&|()<>")
            elif self._next() in ("$", "`"):
                special = self._expansion()
            if special is not None and not isinstance(special, str):
                end_text()
                parts.append(special)
                continue
            piece = special if special is not None else self._character()
            if piece is None:
                break
            text += piece
        end_text()
        return tuple(parts)

    def _character(self) -> str | None:
        """One character of an unquoted word; None where the word ends."""
        if self._take("\\\n"):
            return ""
        if self._next() == "\\":
            following = self._next(2)[1:]
            if following and following in '$~`"() ':
                self._at += 2
                return following
            self._at += 1
            return "\\"
        if _BRACES.match(self._text, self._at):
            raise _failure("it uses {a,b} or {1..3}, which sh does not expand", "write them out")
        character = self._next()
        if character != "~" and character in _NO_TEXT:
            return None
        if character.isspace():
            raise self.unexpected()
        self._at += 1
        return character

    def between_double_quotes(self) -> tuple[Text | Variable | Home | Substitution, ...]:
        """The parts up to the closing quote, which is taken too."""
        parts: list[Text | Variable | Home | Substitution] = []
        text = ""
        first = True
        while True:
            if self.at_end:
                raise _failure("a double quote is not closed")
            special: Text | Variable | Home | Substitution | str | None = None
            if self._take('"'):
                break
            if self._take("\\\n"):
                special = ""
            elif self._next() == "\\" and self._next(2)[1:] in tuple("$~`\"()'"):
                special = self._next(2)[1:]
                self._at += 2
            elif first and self._next() == "~":
                special = self._home('"')
            elif self._next() in ("$", "`"):
                special = self._expansion()
            else:
                special = self._next()
                self._at += 1
            first = False
            if isinstance(special, str):
                text += special
                continue
            if text:
                parts.append(Text(text))
            text = ""
            parts.append(special)
        if text or not parts:
            parts.append(Text(text))
        return tuple(parts)

    def _home(self, ends: str) -> Home:
        self._at += 1
        if not self.at_end and self._next() != "/" and self._next() not in ends:
            raise _failure("Pixi's shell reads '~' alone or before '/' only")
        return Home()

    def _expansion(self) -> Variable | Substitution | str:
        """What begins with ``$`` or a backtick."""
        if self._take("$("):
            script = self._inner(lambda: self.script())
            if not self._take(")"):
                raise _failure("'$(' is not closed")
            return Substitution(script)
        if self._take("`"):
            inner = _Reader(self._backticks(), self._depth)
            script = inner._inner(lambda: inner.script())
            if not inner.at_end:
                raise inner.unexpected()
            return Substitution(script)
        self._at += 1
        if self._take("?"):
            return Variable("?")
        if found := self._match(_NAME):
            if found[0][0].isdigit():
                raise _failure(f"a task has no arguments like ${found[0]}")
            return Variable(found[0])
        if self._next() == "{":
            raise _failure("Pixi's shell takes ${NAME} as it stands", "write $NAME")
        if self._next() and self._next() in "$#*":
            raise _failure(f"Pixi's shell has no '${self._next()}'")
        return "$"

    def _backticks(self) -> str:
        start = self._at
        while not self.at_end:
            if self._next() == "`" and self._text[self._at - 1] != "\\":
                inner = self._text[start : self._at]
                self._at += 1
                return inner.replace("\\`", "`")
            self._at += 1
        raise _failure("a backtick is not closed")

    def _until(self, quote: str) -> str:
        end = self._text.find(quote, self._at)
        if end < 0:
            raise _failure("a single quote is not closed")
        text = self._text[self._at : end]
        self._at = end + 1
        return text

    def _inner(self, read: Callable[[], Script]) -> Script:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _failure("it nests too deep")
        script = read()
        if not script.sequences:
            raise self.unexpected()
        self._depth -= 1
        return script
