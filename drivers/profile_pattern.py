"""The expressions a profile may use: a subset of regular expressions whose matching time grows with the text's length.

Allowed: ``^`` and ``$`` at the ends, literals, ``.``, ``\\d``, escaped punctuation, classes ``[A-Z_-]`` and ``[^ ]``,
``? * + {n} {n,m}`` after a single character or class, groups ``(A|B)``, ``(?:A|B)``, ``(?P<value>...)``.

Refused when the profile loads, because a backtracking matcher can then be made to stall for seconds by one field:
repeating a group, repetition inside alternatives, back-references, look-around, lazy repetition; a repetition that
could also eat what must follow it (``.*X``; write ``[^X]*X``); an open-ended repetition in a pattern without ``^``.
What is left never needs to go back, so repetitions are compiled possessively (Python 3.11).

A pattern is searched for, as in ``match = "^XN"``; anchor it to compare a whole field.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from drivers.profile_charset import ANY, NONE, Ranges, as_class, inverse, one, overlap, ranges, union

MAX_BRANCHES = 64  # product of the alternatives of all groups: how often the matcher may start again
MAX_COUNT = 200  # of {n,m}

_DIGITS: Ranges = ((0x30, 0x39),)
_ESCAPES = {"d": _DIGITS, "t": one("\t"), "r": one("\r"), "n": one("\n")}
_NAME = re.compile(r"\(\?P<([a-z][a-z0-9_]*)>")
_COUNT = re.compile(r"\{([0-9]{1,4})(,)?([0-9]{1,4})?\}")


class PatternError(ValueError):
    """A pattern that is not in the subset. Its text is a sentence."""


@dataclass(frozen=True, slots=True)
class _Item:
    of: Ranges
    least: int = 1
    most: int | None = 1

    @property
    def varies(self) -> bool:
        return self.least != self.most


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    branches: tuple[tuple["_Node", ...], ...]


_Node = _Item | _Group


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; equal when the text is."""

    text: str
    names: frozenset[str]

    def matches(self, value: str) -> bool:
        return _compiled(self.text).search(value) is not None

    def groups(self, value: str) -> dict[str, str] | None:
        """The named groups, or None when the value does not match."""
        found = _compiled(self.text).search(value)
        return None if found is None else {k: v or "" for k, v in found.groupdict().items()}


def compile_pattern(text: str) -> Pattern:
    """Check and compile; ``PatternError`` says what to write instead."""
    return Pattern(text, frozenset(_compiled(text).groupindex))


@lru_cache(maxsize=1024)
def _compiled(text: str) -> "re.Pattern[str]":
    parser = _Parser(text)
    nodes = parser.whole()
    _check(text, nodes, NONE, anchored=parser.anchored)
    if _branches(nodes) > MAX_BRANCHES:
        raise PatternError(f'"{text}": more than {MAX_BRANCHES} combinations of alternatives')
    source = ("\\A" if parser.anchored else "") + _emit(nodes) + ("\\Z" if parser.to_end else "")
    try:
        return re.compile(source, re.DOTALL)
    except re.error as error:  # a group name used twice
        raise PatternError(f'"{text}": {error.msg}') from error


class _Parser:
    """Recursive descent over one pattern text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.anchored = text.startswith("^")
        self.to_end = text.endswith("$") and not _escaped(text, len(text) - 1)
        self.end = len(text) - (1 if self.to_end else 0)

    def whole(self) -> tuple[_Node, ...]:
        self.at = 1 if self.anchored else 0
        nodes = self._sequence()
        if self.at < self.end:
            raise self._error("alternatives belong into a group: (A|B)" if self._peek() == "|" else 'a ")" too many')
        return nodes

    def _sequence(self) -> tuple[_Node, ...]:
        nodes: list[_Node] = []
        while self.at < self.end and self._peek() not in "|)":
            nodes.append(self._group() if self._peek() == "(" else self._item())
        return tuple(nodes)

    def _group(self) -> _Group:
        name = self._open_group()
        branches = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._sequence())
        if self._peek() != ")":
            raise self._error('a ")" is missing')
        self.at += 1
        if self._peek() in ("*", "+", "?", "{"):
            raise self._error("a group cannot be repeated; repeat a single character or class")
        return _Group(name, tuple(branches))

    def _open_group(self) -> str:
        named = _NAME.match(self.text, self.at)
        if named is not None:
            self.at = named.end()
            return named[1]
        if self.text.startswith("(?:", self.at):
            self.at += 3
            return ""
        if self.text.startswith("(?", self.at):
            raise self._error("only (A|B), (?:A|B) and (?P<name>...) groups are allowed")
        self.at += 1
        return ""

    def _item(self) -> _Item:
        of = self._atom()
        least, most = self._quantifier()
        if self._peek() in ("?", "+", "*", "{") and (least, most) != (1, 1):
            raise self._error("lazy, possessive and nested repetitions are not allowed")
        return _Item(of, least, most)

    def _atom(self) -> Ranges:
        character = self._take()
        if character == ".":
            return ANY
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escape()
        if character in "*+?{}])^$":
            raise self._error(f'"{character}" stands for itself only as "\\{character}"')
        return one(character)

    def _escape(self) -> Ranges:
        character = self._take()
        if character in _ESCAPES:
            return _ESCAPES[character]
        if character.isalnum():
            raise self._error(f'"\\{character}" is not allowed (only \\d, \\t and escaped punctuation)')
        return one(character)

    def _class(self) -> Ranges:
        negated = self._peek() == "^"
        self.at += 1 if negated else 0
        pairs: list[tuple[int, int]] = []
        while self._peek() != "]" or not pairs:
            pairs.extend(self._member())
        self.at += 1
        found = ranges(pairs)
        found = inverse(found) if negated else found
        if not found:
            raise self._error("a class that no character is in")
        return found

    def _member(self) -> Ranges:
        character = self._take()
        first = self._escape() if character == "\\" else one(character)
        if self._peek() != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return first
        self.at += 1
        character = self._take()
        last = self._escape() if character == "\\" else one(character)
        if len(first) != 1 or first[0][0] != first[0][1] or last[0][1] < first[0][0]:
            raise self._error("a range of characters is the wrong way round")
        return ((first[0][0], last[0][1]),)

    def _quantifier(self) -> tuple[int, int | None]:
        sign = self._peek()
        if sign in ("*", "+", "?"):
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        counted = _COUNT.match(self.text, self.at) if sign == "{" else None
        if counted is None:
            return 1, 1
        self.at = counted.end()
        least = int(counted[1])
        most = int(counted[3]) if counted[3] else (None if counted[2] else least)
        if least > MAX_COUNT or (most or 0) > MAX_COUNT or (most is not None and most < least):
            raise self._error(f"a count goes up to {MAX_COUNT}, the smaller first")
        return least, most

    def _peek(self) -> str:
        return self.text[self.at] if self.at < self.end else ""

    def _take(self) -> str:
        if self.at >= self.end:
            raise self._error("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def _error(self, why: str) -> PatternError:
        return PatternError(f'"{self.text}": {why}')


def _escaped(text: str, at: int) -> bool:
    return (at - len(text[:at].rstrip("\\"))) % 2 == 1


def _first(nodes: tuple[_Node, ...], follow: Ranges) -> Ranges:
    """What the sequence may begin with; ``follow`` where it may be empty."""
    found = NONE
    for at, node in enumerate(nodes):
        if isinstance(node, _Group):
            return union(found, _firsts(node, nodes[at + 1 :], follow))
        found = union(found, node.of)
        if node.least > 0:
            return found
    return union(found, follow)


def _firsts(group: _Group, rest: tuple[_Node, ...], follow: Ranges) -> Ranges:
    after = _first(rest, follow)
    found = NONE
    for branch in group.branches:
        found = union(found, _first(branch, after))
    return found


def _check(text: str, nodes: tuple[_Node, ...], follow: Ranges, *, anchored: bool) -> None:
    for at, node in enumerate(nodes):
        after = _first(nodes[at + 1 :], follow)
        if isinstance(node, _Item):
            _check_item(text, node, after, anchored)
            continue
        if len(node.branches) > 1 and any(_repeats(branch) for branch in node.branches):
            raise PatternError(f'"{text}": no repetition inside alternatives')
        for branch in node.branches:
            _check(text, branch, after, anchored=anchored)


def _check_item(text: str, item: _Item, after: Ranges, anchored: bool) -> None:
    if item.varies and overlap(item.of, after):
        raise PatternError(f'"{text}": a repetition can also eat what follows it; narrow its class, as in [^X]*X')
    if item.most is None and not anchored:
        raise PatternError(f'"{text}": an open-ended repetition needs a pattern that begins with "^"')


def _repeats(nodes: tuple[_Node, ...]) -> bool:
    return any(
        node.varies if isinstance(node, _Item) else any(_repeats(branch) for branch in node.branches) for node in nodes
    )


def _branches(nodes: tuple[_Node, ...]) -> int:
    product = 1
    for node in nodes:
        if isinstance(node, _Group):
            product *= sum(_branches(branch) for branch in node.branches)
    return product


def _emit(nodes: tuple[_Node, ...]) -> str:
    return "".join(_emit_group(n) if isinstance(n, _Group) else _emit_item(n) for n in nodes)


def _emit_group(group: _Group) -> str:
    opening = f"(?P<{group.name}>" if group.name else "(?:"
    return opening + "|".join(_emit(branch) for branch in group.branches) + ")"


def _emit_item(item: _Item) -> str:
    of = as_class(item.of)
    if not item.varies:
        return of if item.least == 1 else f"{of}{{{item.least}}}"
    most = "" if item.most is None else item.most
    return f"{of}{{{item.least},{most}}}+"
