from __future__ import annotations

from pathlib import Path

import pytest

from tests import golden_files
from tests.golden_files import DIRECTORY, Golden


@pytest.mark.usefixtures("golden")  # so that it runs with --update-golden
def test_every_golden_file_is_used() -> None:
    sources = "\n".join(path.read_text("utf-8") for path in DIRECTORY.parent.rglob("*.py"))
    names = [path.relative_to(DIRECTORY).as_posix() for path in DIRECTORY.rglob("*") if path.is_file()]
    assert [name for name in names if f'"{name}"' not in sources] == [], "no test uses these golden files: delete them"


def test_a_difference_is_shown_until_the_file_is_updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden_files, "DIRECTORY", tmp_path / "golden")
    update, compare = (Golden(update=update, places={"/somewhere": "TMP"}) for update in (True, False))
    update("a/b.txt", "written: /somewhere/x  \n")
    assert (tmp_path / "golden/a/b.txt").read_text() == "written: TMP/x\n"
    compare("a/b.txt", "written: /somewhere/x")
    with pytest.raises(pytest.fail.Exception, match=r"(?s)-written: TMP/x\n\+written: TMP/y.*--update-golden"):
        compare("a/b.txt", "written: /somewhere/y")
    with pytest.raises(pytest.fail.Exception, match="new"):
        compare("new.txt", "new")
