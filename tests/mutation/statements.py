"""Small changes of an SQL statement, each of which a test should notice.

A condition left out, a comparison moved by one, an order turned round, EXISTS for NOT EXISTS, one of a list of values
left out. Only what stands in conditions is compared: ``SET a = ?`` is no comparison.
"""

import re
from collections.abc import Iterator

_SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|WHERE|ORDER BY|AND|FROM|CREATE|SET)\b")
_TOKEN = re.compile(
    r"'[^']*'|ORDER BY|NOT EXISTS|IS NOT NULL|IS NULL|NOT IN|ON CONFLICT|DO UPDATE"
    r"|[A-Za-z_:][\w.]*|<>|<=|>=|[<>=(),]|\d+"
)
_CONDITION, _OTHER = {"WHERE", "ON", "HAVING"}, {"SET", "SELECT", "FROM", "VALUES", "ORDER BY", "LIMIT", "RETURNING"}
_ENDS = _OTHER | {"AND", "OR", "WHERE", "GROUP", "ON CONFLICT", "JOIN", "LEFT", ")"}
_SWAPS = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "<>": "=",
    "=": "<>",
    "IS NULL": "IS NOT NULL",
    "IS NOT NULL": "IS NULL",
    "NOT EXISTS": "EXISTS",
    "NOT IN": "IN",
    "DESC": "ASC",
}
_AGGREGATES = {"max": "min", "min": "max"}
Token = tuple[int, int, str, int, bool]  # start, end, word, depth of parentheses, in a condition


def is_sql(text: str) -> bool:
    return len(text) > 10 and _SQL.search(text) is not None


def changes(sql: str) -> Iterator[str]:
    """The statement, each time with one change."""
    tokens = list(_tokens(sql))
    for number, (start, end, word, _, condition) in enumerate(tokens):
        if word in _SWAPS and (condition or not word.startswith(("<", ">", "="))):
            yield sql[:start] + _SWAPS[word] + sql[end:]
        elif word in _AGGREGATES:
            yield sql[:start] + _AGGREGATES[word] + sql[end:]
        elif word == "ORDER BY":
            yield from _turned_round(sql, tokens[number + 1 :])
        elif word in ("AND", "OR"):
            stop = _end_of_term(sql, tokens, number)
            yield sql[:start] + ("OR" if word == "AND" else "AND") + sql[end:]
            yield sql[:start] + sql[stop:]
        elif word == "WHERE":
            yield sql[:end] + " 1 " + sql[_end_of_term(sql, tokens, number) :]
        elif word.startswith("'") and number and tokens[number - 1][2] == "," and condition:
            yield sql[: tokens[number - 1][0]] + sql[end:]
        elif word.isdigit() and tokens[number - 1][2] not in ("LIMIT", "SELECT"):
            yield sql[:start] + str(int(word) + 1) + sql[end:]


def _tokens(sql: str) -> Iterator[Token]:
    inside = [False]
    for found in _TOKEN.finditer(sql):
        word = found[0]
        if word == "(":
            inside.append(inside[-1])
        elif word == ")" and len(inside) > 1:
            inside.pop()
        elif word in _CONDITION:
            inside[-1] = True
        elif word in _OTHER:
            inside[-1] = False
        yield found.start(), found.end(), word, len(inside), inside[-1]


def _end_of_term(sql: str, tokens: list[Token], number: int) -> int:
    depth = tokens[number][3]
    for start, _, word, level, _ in tokens[number + 1 :]:
        if (level == depth and word in _ENDS and word != ")") or level < depth:
            return start
    return len(sql)


def _turned_round(sql: str, following: list[Token]) -> Iterator[str]:
    """The first term of an ORDER BY the other way; DESC is found by itself."""
    end = following[0][1]
    if len(following) < 2 or following[1][2] != "DESC":
        yield f"{sql[:end]} DESC{sql[end:]}"
