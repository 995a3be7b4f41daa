"""Files that are cut short, have a bit flipped or are of another version."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path

from outcome import Outcome, make_sure
from small_study import EXPERIMENTS, MANIFEST, RUNS, TABLES, Study, finish

from hw2core.config.spec import dump_experiments
from hw2core.data.prepared import DataError, load_prepared
from hw2core.pipeline import list_results
from hw2core.runs import paths
from hw2core.runs.schema import RESULT_FORMAT


def damage_result(study: Study, rng: random.Random) -> Outcome:
    """Damage a result: no table may show it, and the next call must train it again."""
    outcome, run = Outcome(), rng.choice(RUNS)
    path = paths.result_path(run, 0)
    make_sure(study, *list_results((each, 0) for each in RUNS))
    # An older one: a newer version's result is kept, and the call says so.
    version = (f'"format": {RESULT_FORMAT}'.encode(), b'"format": 1')
    damage_file(study, path, rng, version)
    outcome.damaged.add(path)
    study.delete(*TABLES)
    command = ["workflow_scripts/make_tables.py", "--experiments", dump_experiments(EXPERIMENTS)]
    outcome.expect(finish(study.run(*command))[1], re.escape(path), "delete it and run again")
    return outcome


def damage_weights(study: Study, rng: random.Random) -> Outcome:
    """Damage weights: they are not current, and the next call must train them again."""
    outcome, run = Outcome(), rng.choice(RUNS)
    path = paths.weights_path(run, 0)
    make_sure(study, path, paths.result_path(run, 0))
    damage_file(study, path, rng, (b'"dtype":"F32"', b'"dtype":"F99"'))
    outcome.damaged.add(path)
    _, output = finish(study.run("workflow_scripts/status.py", run))
    # An earlier fault may have damaged the result, which is looked at first.
    stem = re.escape(path.removesuffix("safetensors"))
    outcome.expect(output, rf"{stem}(safetensors|json)", "run again")
    return outcome


def damage_data(study: Study, rng: random.Random) -> Outcome:
    """Damage prepared data: a training refuses them, good results stay; then do as it says."""
    outcome, (run, other) = Outcome(), rng.sample(RUNS, 2)
    # A result that an earlier fault damaged is no good one: it is trained again first.
    study.call(MANIFEST, paths.result_path(other, 0), paths.weights_path(other, 0))
    folder = (study / MANIFEST).parent
    path = rng.choice(sorted(path for path in folder.iterdir() if path.name[0] != "."))
    name = path.relative_to(study.folder).as_posix()
    # A letter of the manifest's note on where the data came from decides nothing: try again.
    while is_accepted(study / MANIFEST):
        damage_file(study, name, rng, (b'"format": 1', b'"format": 99'))
    study.delete_training(run)
    _, output = finish(study.train(run))
    outcome.expect(output, re.escape(name), f"delete the folder data/{folder.name} and run again")
    _, output = study.call("-n", paths.result_path(other, 0))
    outcome.expect(output, "Nothing to be done")
    shutil.rmtree(folder)
    make_sure(study, MANIFEST)  # or what is drawn next would lack the images that it may show
    return outcome


def damage_file(study: Study, path: str, rng: random.Random, version: tuple[bytes, bytes]) -> None:
    """Damage a file, or make it one of another version; its time may tell or hide it."""
    file = study / path
    content, times = file.read_bytes(), file.stat()
    other = content.replace(*version, 1) if rng.random() < 0.25 else content
    file.write_bytes(damage(content, rng) if other == content else other)
    if rng.random() < 0.5:
        os.utime(file, (times.st_atime, times.st_mtime))


def damage(content: bytes, rng: random.Random) -> bytes:
    """Return ``content`` cut short, or with a bit flipped."""
    if not content:  # an earlier fault cut it to nothing
        return b"x"
    if rng.random() < 0.4:
        return content[: rng.randrange(len(content))]
    position = rng.randrange(8 * len(content))
    flipped = bytearray(content)
    flipped[position // 8] ^= 1 << position % 8
    return bytes(flipped)


def is_accepted(manifest: Path) -> bool:
    try:
        load_prepared(manifest)
    except DataError:
        return False
    return True
