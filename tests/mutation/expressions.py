"""Small changes of a module, each of which a test should notice: of one node of its syntax tree at a time."""

import ast
from collections.abc import Iterator

from mutation import statements

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_TEXTS = (ast.List, ast.Tuple, ast.JoinedStr)


def of(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of ``node``."""
    match node:
        case ast.Constant(value=value):
            yield from _constants(value)
        case ast.Compare(left, [op], right):
            yield ast.Compare(left, [_COMPARISONS[type(op)]()], right)
        case ast.BoolOp(op, values):
            for left_out in range(len(values)):
                rest = values[:left_out] + values[left_out + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.IfExp(_, body, orelse):
            yield body
            yield orelse
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS and not _is_text(left) and not _is_text(right):
            yield ast.BinOp(left, _OPERATORS[type(op)](), right)
        case ast.Call(func, args, keywords):
            for left_out in range(len(keywords)):
                yield ast.Call(func, args, keywords[:left_out] + keywords[left_out + 1 :])
        case ast.comprehension(target, source, [_, *_], is_async):
            yield ast.comprehension(target, source, [], is_async)
        case ast.stmt():
            yield from _statements(node)
        case ast.ExceptHandler(kind, name, body) if not isinstance(body[0], ast.Raise):
            yield ast.ExceptHandler(kind, name, [ast.Raise()])


def _statements(node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.If(_, body, orelse):
            for always in (True, False):
                yield ast.If(ast.Constant(always), body, orelse)
        case ast.While(ast.Constant()):
            return
        case ast.While(_, _, orelse):
            yield ast.If(ast.Constant(True), orelse or [ast.Pass()], [])
        case ast.Return(ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Assign([ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield ast.Pass()
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield ast.Pass()
        case ast.With(items, body) if not any(item.optional_vars for item in items):
            yield ast.If(ast.Constant(True), body, [])


def _constants(value: object) -> Iterator[ast.AST]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int() | float():
            yield ast.Constant(value + 1)
        case str() if statements.is_sql(value):
            yield from map(ast.Constant, statements.changes(value))
        case str() if " " not in value:  # words decide; sentences are read by people
            yield ast.Constant("" if value else "something")
        case bytes():
            yield ast.Constant(b"" if value else b"something")


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, _TEXTS) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
