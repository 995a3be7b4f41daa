from __future__ import annotations

import shutil
from pathlib import Path

from hw2core.io import write_text_atomically
from hw2core.made import describe_images, list_changes, record_made, was_made_with
from hw2core.pipeline import list_prepared


def test_files_that_are_not_as_they_were_made_have_a_notice(in_folder):
    files = ["figures/a.svg", "figures/a.png"]
    assert list_changes(files) == []  # nothing is there
    for path in files:
        write_text_atomically(path, path)
    assert len(list_changes(files)) == 1  # nothing is known of them
    record_made(files, [], [])
    assert list_changes(files) == []
    Path(files[1]).write_text("of a backup")
    assert len(list_changes(files)) == 1
    Path(files[1]).unlink()
    assert len(list_changes(files)) == 1


def test_what_shows_images_is_made_again_when_they_are_there_and_not_when_they_go(
    in_folder, tiny_manifest
):
    shown = (["report/explore.html"], ["tiny"])
    write_text_atomically(shown[0][0], "")
    record_made(shown[0], describe_images(shown[1]), ["lr"])
    assert list_changes(*shown) == []
    shutil.copytree(tiny_manifest.parent, "data/tiny")
    assert len(list_changes(*shown)) == 1
    assert list_changes(shown[0]) == []
    record_made(shown[0], describe_images(shown[1]), ["lr"])
    assert list_changes(*shown) == []
    Path(list_prepared("tiny")[1]).unlink()
    assert list_changes(*shown) == []


def test_other_params_are_noticed_without_records_of_snakemake(in_folder):
    files = ["figures/a.svg"]
    write_text_atomically(files[0], "")
    assert not was_made_with(files, ["lr: 1", "code: 2"])
    record_made(files, [], ["lr: 1", "code: 2"])
    assert was_made_with(files, ["code: 2", "lr: 1"])
    assert not was_made_with(files, ["lr: 1", "code: 3"])
