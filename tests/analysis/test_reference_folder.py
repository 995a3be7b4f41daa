from __future__ import annotations

from pathlib import Path

import pytest

from hw2core.analysis.reference_folder import PublishError, replace_folder

FOLDER = Path("report/reference")


@pytest.fixture
def published(in_folder) -> Path:
    FOLDER.mkdir(parents=True)
    (FOLDER / "more.tar.gz").write_text("old")
    return FOLDER / "more.tar.gz"


@pytest.mark.parametrize("renames", [1, 2])
def test_an_interrupt_while_the_folder_is_replaced_keeps_the_old_one(
    published, monkeypatch, renames
):
    rename, left = Path.rename, [renames]

    def interrupt(path, target):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt), replace_folder(FOLDER):
        pass
    assert published.read_text() == "old"
    assert list(FOLDER.parent.iterdir()) == [FOLDER]


def test_what_a_killed_call_moved_is_put_back_or_named(published):
    left = FOLDER.parent / ".reference.a" / "old"
    left.parent.mkdir()
    (FOLDER.parent / ".reference.md.swp").write_text("of an editor")
    FOLDER.rename(left)
    with replace_folder(FOLDER) as new:
        assert published.read_text() == "old"
        (new / "report.html").write_text("new")
    assert [path.name for path in FOLDER.iterdir()] == ["report.html"]

    left.mkdir()
    with pytest.raises(PublishError, match=r"\.reference\.a/old: .*move or delete"):
        replace_folder(FOLDER).__enter__()
    assert left.exists()
