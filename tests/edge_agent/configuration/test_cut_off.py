"""A configuration of which a power cut left the beginning: refused with a line, or whole up to its last line."""

from pathlib import Path

import pytest

from edge_agent.configuration.file import load
from edge_agent.errors import ConfigurationError

TEXT = """[agent]
site = "seoul-01"
gateway = "gw-01"
data_dir = "data"

[mqtt]
urls = ["mqtt://127.0.0.1:1883"]

[store]
retention_days = 90

[[analyser]]
id = "gen1"
profile = "lis02_generic"
mode = "production"
transport = "tcp-server://127.0.0.1:5600"

[[analyser]]
id = "xn1"
profile = "sysmex_xn"
transport = "tcp-server://127.0.0.1:5601"
"""


def test_a_file_cut_off_anywhere_is_refused_or_ends_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    taken, problems = [], []
    for end in range(len(TEXT)):
        path.write_text(TEXT[:end], encoding="utf-8")
        try:
            load(path)
        except ConfigurationError as refused:
            problems.append([problem.text for problem in refused.problems])
        else:
            taken.append(end)
    assert all(texts and all(texts) for texts in problems)
    assert taken, "between two tables the first is a whole file; nobody can tell"
    assert all(TEXT[end - 1] == "\n" for end in taken)


def test_half_a_number_is_not_taken_for_a_number(tmp_path: Path) -> None:
    path = tmp_path / "edge-agent.toml"
    path.write_text(TEXT[: TEXT.index("retention_days = 90") + len("retention_days = 9")], encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    [problem] = refused.value.problems
    assert (problem.line, "cut off" in problem.text) == (10, True)
