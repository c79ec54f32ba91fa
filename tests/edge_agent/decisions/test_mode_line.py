"""One line of the configuration file is changed, and nothing else."""

import os
import stat
from pathlib import Path

import pytest

from edge_agent.decisions.mode_line import put, replacement, with_mode

HEAD = '# our site\n[agent]\nsite = "seoul-01"\ngateway = "gw-01"\n\n[mqtt]\nurls = ["mqtt://127.0.0.1"]\n\n'
FIRST = '[[analyser]]\nid = "an1"   # haematology\nprofile = "lis02_generic"\n'
SECOND = '\n[[analyser]]\n  id = "an2"\n  mode = \'validation\' # until the lab says so\n  profile = "x"\n'


@pytest.mark.parametrize(
    ("before", "analyser", "mode", "after"),
    [
        (HEAD + FIRST + SECOND, "an2", "production", HEAD + FIRST + SECOND.replace("'validation'", '"production"')),
        (
            HEAD + FIRST + SECOND,
            "an1",
            "production",
            HEAD + FIRST.replace("haematology\n", 'haematology\nmode = "production"\n') + SECOND,
        ),
        ('[[analyser]]\nid = "an1"', "an1", "production", '[[analyser]]\nid = "an1"\nmode = "production"\n'),
        (
            '[[ analyser ]]\r\n"mode"="production"\r\nid="an1"\r\n',
            "an1",
            "validation",
            '[[ analyser ]]\r\n"mode"="validation"\r\nid="an1"\r\n',
        ),
        (
            '[[analyser]]\r\n\tid = "an1"\r\n[[analyser.links]]\r\nrole = "results"\r\n',
            "an1",
            "production",
            '[[analyser]]\r\n\tid = "an1"\r\n\tmode = "production"\r\n[[analyser.links]]\r\nrole = "results"\r\n',
        ),
    ],
    ids=["changed", "inserted", "at the end without a line end", "with CR LF, quoted, first", "before a table in it"],
)
def test_the_mode_is_changed_and_every_other_byte_stays(before: str, analyser: str, mode: str, after: str) -> None:
    assert with_mode(before, analyser, mode) == after


@pytest.mark.parametrize(
    "text",
    [
        'analyser = [{ id = "an1", mode = "validation" }]\n',
        '[[analyser]]\nid = "an1"\nmode = """validation"""\n',
        'note = """\n[[analyser]]\nid = "an1"\nmode = "validation"\n"""\n[[analyser]]\nid = "an1"\n',
    ],
    ids=["in one line", "in three quotes", "inside another text"],
)
def test_where_no_single_line_says_it_nothing_is_changed(text: str) -> None:
    assert with_mode(text, "an1", "production") is None


def test_a_file_keeps_its_mode_and_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text("before", encoding="utf-8")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 23456)
    owner = path.stat()
    with replacement(path, "after") as new:
        assert path.read_text(encoding="utf-8") == "before"
        put(new, path)
    after = path.stat()
    assert path.read_text(encoding="utf-8") == "after"
    assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o640, owner.st_uid, owner.st_gid)
    assert [p.name for p in tmp_path.iterdir()] == ["edge-agent.toml"]


def test_what_is_not_put_in_its_place_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text("before", encoding="utf-8")

    def given_up() -> None:
        with replacement(path, "after"):
            raise RuntimeError("given up")

    with pytest.raises(RuntimeError, match="given up"):
        given_up()
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["before"]


def test_a_link_laid_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """The command may run as root, in a folder that others may write in."""
    path, other = tmp_path / "edge-agent.toml", tmp_path / "other"
    path.write_text("before", encoding="utf-8")
    other.write_text("not ours", encoding="utf-8")
    (tmp_path / ".edge-agent.toml.new").symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"), replacement(path, "after"):
        pass
    assert (path.read_text(encoding="utf-8"), other.read_text(encoding="utf-8")) == ("before", "not ours")
