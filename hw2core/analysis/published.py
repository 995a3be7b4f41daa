"""The published record of the study: one folder, written from the results, whole or not at all."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from hw2core.analysis.drawing import save_figure
from hw2core.analysis.experiment_figures import draw_experiment
from hw2core.analysis.figures import PLOTS
from hw2core.analysis.public_record import read_public_record
from hw2core.analysis.publish import write_report
from hw2core.analysis.reference import read_reference
from hw2core.analysis.reference_readme import Command, write_readme
from hw2core.analysis.reference_table import replace_block, write_block
from hw2core.analysis.study_tables import StudyTables, build_tables, read_pictures
from hw2core.analysis.tables import Document, write_table
from hw2core.analysis.wording import REDUCED, Experiment
from hw2core.artifacts import (
    PUBLIC_RECORD,
    REFERENCE,
    REFERENCE_FIGURES,
    REFERENCE_README,
    REFERENCE_RESULTS,
    REFERENCE_STUDY,
    REFERENCE_SUMS,
    REFERENCE_TABLE,
    REPORT,
    REPORT_PDF,
    STUDY_FIGURES,
    locate_figure,
    manifest_path,
    result_path,
    study_figure_path,
)
from hw2core.atomic import write_text_atomically
from hw2core.config_file import read_config, read_configs
from hw2core.result_files import find_results, hash_file
from hw2core.staleness import Provenance, explain
from hw2core.study import ROOT, Study, load_study

# What a training can have less of than the study: where it stands in a configuration.
SIZES = {
    "epochs": ("training", "epochs"),
    "training images": ("data", "train"),
    "validation images": ("data", "validation"),
    "test images": ("data", "test"),
}
COLOURS = 256  # of a picture's palette


class PublishError(RuntimeError):
    """The results are no record of the study; the message says why."""


def publish_record(configs: Sequence[Path], seeds: Sequence[int] = (), root: Path = ROOT) -> Path:
    """Write the record of the results in this folder, and the README's table of it.

    Args:
        configs: the study's configuration, and at most one file of changes that was laid over it.
        seeds: those to publish; none: those of the configuration.
        root: the checkout that gets the record.

    Returns:
        The folder of the record; what it held before is gone.

    Raises:
        PublishError: there is no result, one is of another configuration, or the README has no
            place for the table.
        ArtifactError: a result cannot be read.
        ReportError: the report cannot be built.
        OSError: something cannot be written.
    """
    planned = load_study(read_config(configs[0]), str(configs[0]))
    values = read_configs(configs) | ({"seeds": list(seeds)} if seeds else {})
    study = load_study(values, " + ".join(map(str, configs)))
    documents, missing = find_results(study.outlines)
    _check(documents, study)
    record = read_public_record(ROOT / PUBLIC_RECORD)
    readme = root / "README.md"
    try:
        replace_block(readme.read_text(encoding="utf-8"), "")
    except ValueError as error:
        raise PublishError(f"{readme}: {error}") from None
    pictures = read_pictures(manifest_path(study.data.folder))
    tables = build_tables(documents, record, pictures)
    tables = tables._replace(summary=add_reduction(tables.summary, documents, planned))
    folder = root / REFERENCE
    with replace_folder(folder) as new:
        write_table(tables.summary, new / REFERENCE_TABLE)
        write_archive(new / REFERENCE_RESULTS, documents)
        for changes in configs[1:]:
            shutil.copyfile(changes, new / REFERENCE_STUDY)
        write_views(new, study.outlines, tables, missing)
        reference = read_reference(new / REFERENCE_TABLE)
        command = Command(len(configs) > 1, tuple(seeds))
        text = write_readme(documents, reference, missing, command)
        write_text_atomically(new / REFERENCE_README, text)
        write_text_atomically(new / REFERENCE_SUMS, sum_files(new))
    block = write_block(reference, record)
    write_text_atomically(readme, replace_block(readme.read_text(encoding="utf-8"), block))
    return folder


def add_reduction(
    summary: pd.DataFrame, documents: Iterable[Document], planned: Study
) -> pd.DataFrame:
    """Return ``summary`` with the column ``REDUCED``: what each training has less of than planned.

    ``10 of 20 epochs; 20,000 of 44,000 training images``, or nothing.
    """
    said = {}
    for document in documents:
        config = document["config"]
        spec = planned.runs.get(config["name"])
        # A run that only the changes have is measured by the images of the study.
        own = {**config, "data": planned.data.model_dump()}
        wanted = spec.describe(config["seed"]) if spec else own
        facts = [
            f"{config[group][key]:,} of {wanted[group][key]:,} {what}"
            for what, (group, key) in SIZES.items()
            if config[group][key] < wanted[group][key]
        ]
        if config["data"]["name"] != wanted["data"]["name"]:
            facts.append(f"{config['data']['name']} images")
        if not facts and not document["metadata"]["study_size"]:
            facts.append("fewer images than asked for")
        said[config["name"], config["seed"]] = "; ".join(facts)
    keys = zip(summary["run"], summary["seed"], strict=True)
    return summary.assign(**{REDUCED: [said[key] for key in keys]})


def write_archive(path: Path, documents: Iterable[Document]) -> None:
    """Pack the result files, as they lie in this folder; the same files give the same bytes."""
    names = [result_path(x["config"]["name"], x["config"]["seed"]) for x in documents]
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(names):
            content = Path(name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_views(
    new: Path,
    experiments: Sequence[Experiment],
    tables: StudyTables,
    missing: Mapping[str, Sequence[str]],
) -> None:
    """Draw all figures, write the report with them, and keep those over all experiments."""
    (new / REFERENCE_FIGURES).mkdir()
    page, pdf = (new / Path(name).name for name in (REPORT, REPORT_PDF))
    # Elsewhere: what lies in this folder is the pipeline's.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for experiment in experiments:
            draw_experiment(experiment, tables.documents)
        for kind in STUDY_FIGURES:
            paths = [study_figure_path(kind, suffix) for suffix in ("svg", "png")]
            save_figure(PLOTS[kind](tables), paths)
        for picture in Path("figures").glob("*.png"):
            shrink_picture(picture)
        for kind in STUDY_FIGURES:
            shutil.copy(study_figure_path(kind, "png"), new / REFERENCE_FIGURES)
        write_report(experiments, tables, missing, page, pdf, locate_picture)


def locate_picture(kind: str, experiment: str | None) -> str:
    """Return the PNG file of a figure, which is a quarter of the SVG's size when it is shrunk."""
    return Path(locate_figure(kind, experiment)).with_suffix(".png").as_posix()


def shrink_picture(path: Path) -> None:
    """Bring a PNG from the size for print to that for screens: half as wide, with a palette."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").reduce(2)
    small.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def sum_files(folder: Path) -> str:
    """Return the sha256 of every file in ``folder`` but the list itself, as sha256sum writes it."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hash_file(folder / name)}  {name.as_posix()}\n"
        for name in names
        if name.as_posix() != REFERENCE_SUMS
    )


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of ``folder`` when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        new.mkdir()
        yield new.resolve()
        if folder.exists():
            folder.rename(old)
        new.rename(folder)


def _check(documents: Sequence[Document], study: Study) -> None:
    """Refuse results of another configuration than the study's: they would be mixed with it."""
    if not documents:
        raise PublishError("there is no result to publish")
    problems = []
    for document in documents:
        config: dict[str, Any] = document["config"]
        run, seed = config["name"], config["seed"]
        wanted = Provenance(study.runs[run].describe(seed), document["metadata"]["code"], None)
        problems += [f"{run} seed {seed}: {reason}" for reason in explain(document, wanted)]
    if problems:
        listed = "\n  ".join(problems[:10])
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise PublishError(
            f"results of another configuration; name its file, or train again:\n  {listed}{more}"
        )
