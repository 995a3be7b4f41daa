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
from hw2core.analysis.tables import write_table
from hw2core.analysis.wording import REDUCED
from hw2core.config.reading import read_config, read_configs
from hw2core.config.spec import Experiment
from hw2core.config.study import CHECKOUT, Study, load_study
from hw2core.errors import UserError
from hw2core.io import hash_file, write_text_atomically
from hw2core.runs.files import find_results
from hw2core.runs.paths import (
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
    evaluation_path,
    locate_figure,
    manifest_path,
    result_path,
    study_figure_path,
)
from hw2core.runs.schema import Result
from hw2core.runs.staleness import Identity

# What a training can have less of than the study: where it stands in a configuration.
SIZES = {
    "epochs": ("training", "epochs"),
    "training images": ("data", "train"),
    "validation images": ("data", "validation"),
    "test images": ("data", "test"),
}
COLOURS = 256  # of a picture's palette


class PublishError(UserError):
    """The results are no record of the study; the message says why."""


def publish_record(
    configs: Sequence[Path], seeds: Sequence[int] = (), root: Path = CHECKOUT
) -> Path:
    """Write the record of the results in this folder, and the README's table of it.

    Args:
        configs: the study's configuration, and at most one file of changes that was laid over it.
        seeds: those to publish; none: those of the configuration.
        root: the checkout that gets the record.

    Returns:
        The folder of the record; what it held before is gone.

    Raises:
        PublishError: there is no result, one is of another configuration or not evaluated, or the
            README has no place for the table.
        ResultError: a result cannot be read.
        ReportError: the report cannot be built.
        OSError: something cannot be written.
    """
    planned = load_study(read_config(configs[0]), str(configs[0]))
    values = read_configs(configs) | ({"seeds": list(seeds)} if seeds else {})
    study = load_study(values, " + ".join(map(str, configs)))
    experiments = list(study.experiments.values())
    results, missing = find_results(experiments)
    _check(results, study)
    record = read_public_record(CHECKOUT / PUBLIC_RECORD)
    readme = root / "README.md"
    try:
        replace_block(readme.read_text(encoding="utf-8"), "")
    except ValueError as error:
        raise PublishError(f"{readme}: {error}") from None
    pictures = read_pictures(manifest_path(study.data.folder))
    tables = build_tables(results, record, pictures)
    tables = tables._replace(summary=add_reduction(tables.summary, results, planned))
    folder = root / REFERENCE
    with replace_folder(folder) as new:
        write_table(tables.summary, new / REFERENCE_TABLE)
        write_archive(new / REFERENCE_RESULTS, results)
        for changes in configs[1:]:
            shutil.copyfile(changes, new / REFERENCE_STUDY)
        write_views(new, experiments, tables, missing)
        reference = read_reference(new / REFERENCE_TABLE)
        command = Command(len(configs) > 1, tuple(seeds))
        text = write_readme(results, reference, missing, command)
        write_text_atomically(new / REFERENCE_README, text)
        write_text_atomically(new / REFERENCE_SUMS, sum_files(new))
    block = write_block(reference, record)
    write_text_atomically(readme, replace_block(readme.read_text(encoding="utf-8"), block))
    return folder


def add_reduction(summary: pd.DataFrame, results: Iterable[Result], planned: Study) -> pd.DataFrame:
    """Return ``summary`` with the column ``REDUCED``: what each training has less of than planned.

    ``10 of 20 epochs; 20,000 of 44,000 training images``, or nothing.
    """
    said = {}
    for result in results:
        config = result.config
        spec = planned.runs.get(result.name)
        # A run that only the changes have is measured by the images of the study.
        own = {**config, "data": planned.data.model_dump()}
        wanted = spec.describe(result.seed) if spec else own
        facts = [
            f"{config[group][key]:,} of {wanted[group][key]:,} {what}"
            for what, (group, key) in SIZES.items()
            if config[group][key] < wanted[group][key]
        ]
        if config["data"]["name"] != wanted["data"]["name"]:
            facts.append(f"{config['data']['name']} images")
        if not facts and not result.study_size:
            facts.append("fewer images than asked for")
        said[result.name, result.seed] = "; ".join(facts)
    keys = zip(summary["run"], summary["seed"], strict=True)
    return summary.assign(**{REDUCED: [said[key] for key in keys]})


def write_archive(path: Path, results: Iterable[Result]) -> None:
    """Pack the files of results and evaluations in this folder; same files, same bytes.

    A result of an earlier format has its evaluation in its own file.
    """
    pairs = [(result.name, result.seed) for result in results]
    names = [path_of(*pair) for pair in pairs for path_of in (result_path, evaluation_path)]
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(name for name in names if Path(name).exists()):
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
            draw_experiment(experiment, tables.results)
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


def _check(results: Sequence[Result], study: Study) -> None:
    """Refuse results of another configuration than the study's, and those without evaluation."""
    if not results:
        raise PublishError("there is no result to publish")
    problems = []
    for result in results:
        spec = study.runs[result.name]
        reasons = Identity(spec, result.seed, {}, None).find_other_differences(result)
        if result.test is None:
            reasons.append("not evaluated yet")
        problems += [f"{result.name} seed {result.seed}: {reason}" for reason in reasons]
    if problems:
        listed = "\n  ".join(problems[:10])
        more = f"\n  and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise PublishError(
            "results of another configuration, or not evaluated; name the configuration's file, "
            f"or run again:\n  {listed}{more}"
        )
