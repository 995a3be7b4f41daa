"""Publishes the results of this folder: copies what the pipeline made to report/reference/."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from hw2core.analysis import text
from hw2core.analysis.findings import answer, list_findings
from hw2core.analysis.tables import SUMMARY_COLUMNS, Study, load, summarize, write_table
from hw2core.config.reading import read_config, read_configs
from hw2core.config.study import CHECKOUT, STUDY_FILE, load_study
from hw2core.errors import UserError
from hw2core.io import hash_file, write_text_atomically
from hw2core.runs import paths
from hw2core.runs.schema import Result
from hw2core.runs.staleness import Identity

BEGIN = "<!-- results: written by workflow_scripts/publish_reference.py -->"
END = "<!-- end of results -->"
KEY_FIGURE = paths.study_figure_path("key", "png")


class PublishError(UserError):
    """The results cannot be published; the message says why."""


def publish(configs: Sequence[Path], seeds: Sequence[int] = (), root: Path = CHECKOUT) -> Path:
    """Copy results, tables, figures and report of this folder; write the README's table of them.

    Args:
        configs: the configuration, and at most one file that was laid over it.
        seeds: those to publish; none: those of the configuration.
        root: the checkout whose report/reference/ and README are written.

    Returns:
        The folder; what it held before is gone.

    Raises:
        PublishError: there is no result, one is of another configuration or not evaluated, what
            the pipeline makes of them is missing or older, or the README has no place for the
            table.
        ResultError: a result cannot be read.
        OSError: something cannot be written.
    """
    values = read_configs(configs) | ({"seeds": list(seeds)} if seeds else {})
    planned = load_study(values, " + ".join(map(str, configs)))
    planned = planned.compare_sizes(load_study(read_config(STUDY_FILE), str(STUDY_FILE)))
    study = load(planned.experiments.values())
    if not study.results:
        raise PublishError("there is no result to publish")
    problems = []
    for result in study.results:
        spec = planned.runs[result.name]
        reasons = Identity(spec, result.seed, {}, None).find_other_differences(result)
        if result.test is None:
            reasons.append("not evaluated yet")
        problems += [f"{result.name} seed {result.seed}: {reason}" for reason in reasons]
    if problems:
        raise PublishError("these cannot be published:\n  " + "\n  ".join(problems[:10]))
    figures = [Path(path) for path in paths.study_figure_paths()]
    made = [Path(paths.SUMMARY_TABLE), Path(paths.REPORT), Path(paths.REPORT_PDF), *figures]
    check_made(made, study)
    readme = root / "README.md"
    block = replace_block(readme.read_text(encoding="utf-8"), write_block(study))
    folder = root / paths.REFERENCE
    with replace_folder(folder) as new:
        for path in made:
            target = new / (paths.REFERENCE_FIGURES if path in figures else "")
            target.mkdir(exist_ok=True)
            shutil.copy(path, target)
        write_archive(new / paths.REFERENCE_RESULTS, study.results)
        for changes in configs[1:]:
            shutil.copyfile(changes, new / paths.REFERENCE_STUDY)
        write_text_atomically(new / paths.REFERENCE_SUMS, sum_files(new))
    write_text_atomically(readme, block)
    return folder


def check_made(made: Iterable[Path], study: Study) -> None:
    """Refuse what the pipeline made of other results than those of ``study``.

    Raises:
        PublishError: a file is missing, or the summary is not that of these results.
    """
    for path in made:
        if not path.exists():
            raise PublishError(f"{path}: missing; run snakemake first")
    with tempfile.TemporaryDirectory() as folder:
        expected = Path(folder, "summary.csv")
        write_table(study.runs[list(SUMMARY_COLUMNS)], expected)
        if expected.read_bytes() != Path(paths.SUMMARY_TABLE).read_bytes():
            raise PublishError(f"{paths.SUMMARY_TABLE}: of other results; run snakemake first")


def write_block(study: Study) -> str:
    """Return the Markdown between ``BEGIN`` and ``END``: findings, key figure and table."""
    figure = paths.reference_path(KEY_FIGURE)
    report = paths.reference_path(Path(paths.REPORT_PDF).name)
    return "\n".join(
        [
            *(f"{number}. {found}" for number, found in enumerate(list_findings(study), start=1)),
            "",
            f"![Test accuracy against the number of convolutions]({figure})",
            "",
            answer("public", study),
            "",
            text.markdown_table(list_experiments(study)),
            "",
            f"{text.describe_evidence(study.runs)} The best run of an experiment is the one that"
            " validation ranks first. Public solutions of the same exercise had one seed, and"
            f" mostly chose their epoch on the test images. [The report]({report}) answers the"
            " questions of the assignment; its HTML page, all results and figures are in"
            f" [{paths.REFERENCE}]({paths.REFERENCE}).",
        ]
    )


def list_experiments(study: Study) -> pd.DataFrame:
    """Return a row per experiment: how many runs trained, the best of them, public solutions."""
    runs, public = summarize(study.runs), study.baselines.set_index("run")
    rows = []
    for experiment in study.experiments:
        own = runs[runs["experiment"] == experiment.name]
        if own.empty:
            continue
        best = own.sort_values(["trained", "validation"], ascending=False).iloc[0]
        beside = public.loc[best["run"]] if best["run"] in public.index else None
        families = dict.fromkeys(own["family"])
        rows.append(
            {
                "Experiment": experiment.name,
                "Networks": ", ".join(families),
                "Trained": f"{int((own['trained'] == own['seeds']).sum())} of {len(own)}",
                "Best run": f"`{best['run']}`",
                "Test accuracy (%)": text.format_range(
                    best["test"], best["test_low"], best["test_high"]
                ),
                "Public median, best (%)": "–"
                if beside is None
                else f"{beside['median']:.1f}, {beside['highest']:.1f}",
                "Size": "reduced" if best["reduced"] else "full",
            }
        )
    return pd.DataFrame(rows)


def replace_block(readme: str, block: str) -> str:
    """Return the text of a README with ``block`` between the two markers.

    Raises:
        PublishError: the markers are not there once each, in order.
    """
    pattern = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(readme)) != 1:
        raise PublishError(f"README.md: no place for the results, between {BEGIN!r} and {END!r}")
    return pattern.sub(lambda _: f"{BEGIN}\n{block}\n{END}", readme)


def write_archive(path: Path, results: Iterable[Result]) -> None:
    """Pack the files of results and evaluations in this folder; same files, same bytes."""
    pairs = [(result.name, result.seed) for result in results]
    names = [file(*pair) for pair in pairs for file in (paths.result_path, paths.evaluation_path)]
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in sorted(filter(lambda name: Path(name).exists(), names)):
            content = Path(name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def sum_files(folder: Path) -> str:
    """Return the sha256 of every file in ``folder`` but the list itself, as sha256sum writes it."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hash_file(folder / name)}  {name.as_posix()}\n"
        for name in names
        if name.as_posix() != paths.REFERENCE_SUMS
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
