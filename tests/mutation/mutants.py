"""Every changed version of a module: where the change is, what it says, and the code that comes of it.

Left alone: prose, annotations, ``__all__``, decorators, assertions, and what is written to the log. Two changes of one
function that read the same are told apart by a number, so that a name stays when something is added elsewhere.
"""

import ast
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import CodeType

from mutation import expressions
from mutation.statements import is_sql

_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_LONG, _AROUND = 60, 25  # characters
_EVERYWHERE = range(1, 1_000_000)
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass(frozen=True, slots=True)
class Where:
    place: str  # the function or class; "" in the module itself
    in_function: bool  # else it works when the module is imported
    around: range  # the lines of the function or class
    lines: range  # those of the statement, in a function: a test that ran none of them cannot notice


@dataclass(frozen=True, slots=True)
class Mutant:
    module: str
    where: Where
    before: str
    after: str
    occurrence: int
    line: int
    _parent: ast.AST = field(repr=False)
    _field: str = field(repr=False)
    _index: int | None = field(repr=False)
    _new: ast.AST = field(repr=False)
    _tree: ast.Module = field(repr=False)

    @property
    def name(self) -> str:
        """The same in every run, as long as the function stays as it is."""
        return f"{self.where.place}: {self.before} -> {self.after} ({self.occurrence})"

    def unchanged(self) -> "Mutant":
        """The module as it is: what must not be noticed."""
        place = getattr(self._parent, self._field)
        return replace(self, _new=place if self._index is None else place[self._index])

    def code(self, filename: str) -> CodeType:
        """The module with the change, compiled."""
        old = self._swap(self._new)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return compile(ast.fix_missing_locations(self._tree), filename, "exec")
        finally:
            self._swap(old)

    def _swap(self, node: ast.AST) -> ast.AST:
        place = getattr(self._parent, self._field)
        if self._index is None:
            setattr(self._parent, self._field, node)
            old: ast.AST = place
        else:
            old, place[self._index] = place[self._index], node
        return old


def mutants(module: str, source: str) -> list[Mutant]:
    """Every mutant of ``module``, in the order of the text."""
    return list(_Finder(module, ast.parse(source)).found())


class _Finder:
    def __init__(self, module: str, tree: ast.Module) -> None:
        self._module = module
        self._tree = tree
        self._seen: Counter[tuple[str, str, str]] = Counter()

    def found(self) -> Iterator[Mutant]:
        yield from self._children(self._tree, Where("", False, _EVERYWHERE, _EVERYWHERE))

    def _children(self, node: ast.AST, where: Where) -> Iterator[Mutant]:
        for name, value in ast.iter_fields(node):
            if _left_alone(node, name):
                continue
            if name in ("defaults", "kw_defaults"):  # made with the function, seen by all of it
                where = replace(where, in_function=False, lines=where.around)
            if isinstance(value, ast.AST):
                yield from self._visit(node, name, None, value, where)
            elif isinstance(value, list):
                for index, one in enumerate(value):
                    if isinstance(one, ast.AST):
                        yield from self._visit(node, name, index, one, where)

    def _visit(self, parent: ast.AST, name: str, index: int | None, node: ast.AST, where: Where) -> Iterator[Mutant]:
        if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom) or _is_prose(node) or _is_log(node):
            return
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            where = replace(where, lines=_header(node) if where.in_function else where.around)
        for new in expressions.of(node):
            ast.copy_location(new, node)
            before, after = _difference(node, new)
            self._seen[where.place, before, after] += 1
            occurrence = self._seen[where.place, before, after]
            line = getattr(node, "lineno", where.lines.start)
            yield Mutant(self._module, where, before, after, occurrence, line, parent, name, index, new, self._tree)
        if isinstance(node, (*_FUNCTION, ast.ClassDef)):
            within = where.in_function or isinstance(node, _FUNCTION)
            around = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            where = Where(f"{where.place}.{node.name}".lstrip("."), within, around, around)
        yield from self._children(node, where)


def _left_alone(node: ast.AST, name: str) -> bool:
    if name in ("annotation", "returns", "decorator_list", "bases"):
        return True
    if isinstance(node, ast.Assign):
        named = any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        return named or (isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar")
    return isinstance(node, ast.ExceptHandler) and name == "type"


def _is_prose(node: ast.AST) -> bool:
    """A docstring, or a sentence with something put into it."""
    if isinstance(node, ast.JoinedStr):
        texts = [str(part.value) for part in node.values if isinstance(part, ast.Constant)]
        return any(" " in text for text in texts) and not any(map(is_sql, texts))
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_log(node: ast.AST) -> bool:
    match node:
        case ast.Expr(ast.Call(ast.Attribute(ast.Name("log" | "_log")))):
            return True
    return False


def _header(node: ast.AST) -> range:
    """The lines a statement is on; of one that holds others, those before them."""
    first: int = getattr(node, "lineno", 0) or node.pattern.lineno  # type: ignore[attr-defined]  # a case has a pattern
    inner = [one.lineno for block in _BLOCKS for one in getattr(node, block, ()) if hasattr(one, "lineno")]
    last: int = max(first, min(inner) - 1) if inner else getattr(node, "end_lineno", first)
    return range(first, last + 1)


def _difference(node: ast.AST, new: ast.AST) -> tuple[str, str]:
    """In words; of a long text only where the two differ."""
    before, after = _words(node), _words(new)
    if len(before) < _LONG or not isinstance(node, ast.Constant):
        return before, after
    same = _alike(before, after)
    rest = _alike(before[same:][::-1], after[same:][::-1])
    start = max(before.rfind(" ", 0, max(same - _AROUND, 0)), 0)
    return tuple(f"{text[start : len(text) - rest]}{text[len(text) - rest :][:_AROUND]}" for text in (before, after))


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _words(node: ast.AST) -> str:
    """The first line of what a node says."""
    if isinstance(node, ast.comprehension):
        node = ast.ListComp(ast.Name("_"), [node])
    text = ast.unparse(ast.fix_missing_locations(node)).strip()
    head = text.partition("\n")[0]
    return head if head == text else f"{head} ..."
