"""Where a comment belongs and what it is for."""

from drivers.canonical import Comment
from drivers.interpret_context import Chain, OrderDraft, PatientDraft, Reader, ResultDraft
from drivers.paths import Path
from drivers.profile_result import CommentRule

_TEXT = Path("C", 4)

Target = PatientDraft | OrderDraft | ResultDraft


def comment_of(reader: Reader, chain: Chain) -> Comment | None:
    """The comment of a C record; None when it has no text."""
    record = chain["C"]
    text = reader.text(_TEXT, chain)
    if not text.strip():
        return None
    return Comment(text, reader.clean(record.get(3)), reader.clean(record.get(5)))


def rule_for(reader: Reader, chain: Chain) -> CommentRule | None:
    for rule in reader.profile.comment:
        if all(p.holds_for(chain.get(p.path.record), reader.clean) for p in rule.when):
            return rule
    return None


def attach(target: Target, comment: Comment, sort: str) -> None:
    """Put the comment where it belongs. What a target has no place for stays a note: nothing is thrown away."""
    if sort == "ignore":
        return
    if isinstance(target, ResultDraft):
        if sort == "flag":
            target.flags.append(comment.text)
            return
        if sort == "no_result_reason" and not target.reason:
            target.reason = comment.text
    elif isinstance(target, OrderDraft):
        if sort == "lot":
            target.lots.append(comment.text)
        elif sort == "control_name":
            target.names.append(comment.text)
    target.comments.append(comment)
