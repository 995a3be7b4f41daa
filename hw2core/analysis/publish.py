"""Publishes the results in the working folder by copying them to report/reference/."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from hw2core.analysis import text
from hw2core.analysis.course import keep_course
from hw2core.analysis.provenance import estimate_minutes
from hw2core.analysis.report import Document
from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import Study, find_best, format_table, list_rows, load, select
from hw2core.config.reading import read_config, read_configs
from hw2core.config.spec import RunSpec
from hw2core.config.study import CHECKOUT, load_study
from hw2core.data.prepared import read_manifest
from hw2core.errors import UserError
from hw2core.io import hash_file, write_text_atomically
from hw2core.runs import paths
from hw2core.runs.schema import Result
from hw2core.runs.staleness import Identity

BEGIN = "<!-- results: written by workflow_scripts/publish_reference.py -->"
END = "<!-- end of results -->"
FIGURES = paths.study_figure_paths()
MADE = (paths.SUMMARY_TABLE, paths.REPORT, paths.REPORT_PDF, paths.EXPLORE, *FIGURES)


class PublishError(UserError):
    """The results cannot be published; the message gives the reason."""


def publish(configs: Sequence[Path], seeds: Sequence[int] = (), root: Path = CHECKOUT) -> Path:
    """Copy results, tables, figures and report of the working folder, and update the README.

    Args:
        configs: the configuration, and at most one overlay.
        seeds: the seeds to publish; by default those of the configuration.
        root: the checkout whose report/reference/ and README are replaced.

    Returns:
        The folder report/reference/.

    Raises:
        UserError: a result cannot be read or published, or the README has no result markers.
    """
    values = read_configs(configs) | ({"seeds": list(seeds)} if seeds else {})
    planned = load_study(values, " + ".join(map(str, configs)))
    asked = load_study(read_config(configs[0]) | {"study": {}}, str(configs[0]))
    planned = planned.compare_sizes(asked)
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
        raise PublishError("these results cannot be published:\n  " + "\n  ".join(problems[:10]))
    check_made(study)
    readme = root / "README.md"
    block = replace_block(readme.read_text(encoding="utf-8"), write_block(study))
    folder = root / paths.REFERENCE
    with replace_folder(folder) as new:
        (new / paths.REFERENCE_FIGURES).mkdir()
        for path in MADE:
            shutil.copy(path, new / (paths.REFERENCE_FIGURES if path in FIGURES else ""))
        write_archive(new / paths.REFERENCE_RESULTS, study.results)
        keep_networks(folder, new, study.results)
        for changes in configs[1:]:
            shutil.copyfile(changes, new / paths.REFERENCE_STUDY)
        for other in set(folder.glob("*")) - {folder / paths.REFERENCE_STUDY}:  # not made here
            if other.is_file() and not (new / other.name).exists():
                shutil.copyfile(other, new / other.name)
        write_text_atomically(new / paths.REFERENCE_SUMS, sum_files(new))
    write_text_atomically(readme, block)
    return folder


def keep_networks(old: Path, new: Path, results: Iterable[Result]) -> None:
    """Publish again the networks whose weights ``old`` has, each with its result and manifest.

    Weights and manifest are those of the working folder, or else those in ``old``.

    Raises:
        PublishError: neither folder has those of the published result.
    """
    by_weights = {paths.weights_path(result.name, result.seed): result for result in results}
    for weights in sorted(old.glob("results/*/*.safetensors")):
        name = weights.relative_to(old).as_posix()
        if name not in by_weights:
            raise PublishError(f"{weights}: of no result; delete its folder to publish without it")
        result = by_weights[name]
        manifest = Path(paths.manifest_path(RunSpec.from_config(result.config).data.folder))
        ours = [x for x in (Path(name), weights) if _has(x, result.weights_sha256, hash_file)]
        images = [
            x
            for x in (manifest, old / manifest)
            if _has(x, result.data_sha256, lambda path: read_manifest(path).sha256)
        ]
        if not ours or not images:
            file = manifest if ours else name
            raise PublishError(f"{file}: not that of {result.name}; train it again and publish")
        copied: dict[str | Path, str | Path] = {name: ours[0], manifest: images[0]}
        copied |= {file: file for file in list_files([result])}
        copied |= {x.relative_to(old): x for x in (old / manifest).parent.glob("*.png")}
        for target, source in copied.items():
            Path(new, target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, new / target)


def _has(path: Path, expected: str | None, read: Callable[[Path], str]) -> bool:
    return path.exists() and read(path) == expected


def check_plan(configs: Sequence[Path], seeds: Sequence[int] = ()) -> None:
    """Check by a dry run that Snakemake would make none of the files to publish again.

    Raises:
        PublishError: a file was not made from these results, this configuration and this code.
    """
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--profile=none"]
    command += [f"--snakefile={CHECKOUT / 'Snakefile'}", "--configfile", *map(str, configs)]
    command += ["--config", f"seeds={list(seeds)}"] if seeds else []
    done = subprocess.run([*command, "--", *MADE], capture_output=True, text=True)
    printed = done.stdout + done.stderr
    if "Nothing to be done" not in printed:
        rules = dict.fromkeys(re.findall(r"^(?:local)?rule (\w+):", printed, flags=re.MULTILINE))
        why = text.join_words(rules) or printed.strip().rpartition("\n")[2]
        raise PublishError(f"snakemake with this configuration is not done ({why}); run it first")


def check_made(study: Study) -> None:
    """Check that the files in ``MADE`` exist, and that the table is of the results of ``study``.

    Raises:
        PublishError: a file is missing, or the table was made from other results.
    """
    for path in MADE:
        if not Path(path).exists():
            raise PublishError(f"{path}: missing; run snakemake first")
    summary = format_table(study.runs[list(SUMMARY_COLUMNS)])
    if summary.encode() != Path(paths.SUMMARY_TABLE).read_bytes():
        raise PublishError(f"{paths.SUMMARY_TABLE}: from other results; run snakemake first")


def write_block(study: Study) -> str:
    """Return the Markdown between ``BEGIN`` and ``END``: findings, key figure and table."""
    document = Document(study, plain=True)
    experiments = list_experiments(study)
    return document.render("readme.md.j2", paths=paths, experiments=experiments).strip()


def list_experiments(study: Study) -> pd.DataFrame:
    """Return a row per experiment: number of trained runs, best run and public solutions."""
    runs = study.summary.merge(keep_course(study).baselines, on="run", how="left")
    minutes = estimate_minutes(study)
    rows = []
    for experiment in study.experiments:
        own = select(runs, experiment=experiment.name)
        if own.empty:
            continue
        best = find_best(own) or list_rows(own.sort_values("validation", ascending=False))[0]
        public = f"{best.median:.1f}, {best.highest:.1f}"
        row = {
            "Experiment": experiment.name,
            "Networks": ", ".join(own["family"].unique()),
            "Train (all seeds)": f"{(own['trained'] == own['seeds']).sum()} of {len(own)}",
            "Best by validation": f"`{best.run}`",
            "Test accuracy (%)": text.format_range(best.test, best.test_low, best.test_high),
            "Hours per seed (estimated)": show_hours([minutes.get(x) for x in own["run"]]),
            "Public median, best (%)": text.DASH if pd.isna(best.median) else public,
            "Size": "reduced" if best.reduced else "full",
        }
        rows.append(row)
    table = pd.DataFrame(rows)
    constant = {"Size": "full", "Public median, best (%)": text.DASH}
    return table.drop(columns=[x for x, usual in constant.items() if (table[x] == usual).all()])


def show_hours(minutes: Sequence[float | None]) -> str:
    """Return the sum in hours with one decimal, or ``below 0.1``; a dash if one is unknown."""
    known = [x for x in minutes if x is not None]
    shown = text.format_number(sum(known) / 60) if len(known) == len(minutes) else text.DASH
    return "below 0.1" if shown == "0.0" else shown


def replace_block(readme: str, block: str) -> str:
    """Return the text of a README with ``block`` between its two markers."""
    pattern = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)
    replaced, count = pattern.subn(lambda _: f"{block}\n", readme)
    if count != 1:
        raise PublishError(f"README.md: needs the lines {BEGIN!r} and {END!r}, each once")
    return replaced


def list_files(results: Iterable[Result]) -> list[str]:
    """Return the files of results; results of format 2 include their evaluation."""
    kinds = (paths.result_path, paths.evaluation_path)
    names = sorted(kind(result.name, result.seed) for result in results for kind in kinds)
    return [name for name in names if Path(name).exists()]


def write_archive(path: Path, results: Iterable[Result]) -> None:
    """Pack the files of results and evaluations; the same files give the same bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name in list_files(results):
            content = Path(name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def sum_files(folder: Path) -> str:
    """Return the sha256 of every file in ``folder``, except the list itself, as sha256sum does."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    files.pop(paths.REFERENCE_SUMS, None)
    return "".join(f"{hash_file(x)}  {name}\n" for name, x in files.items() if x.is_file())


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new folder that replaces ``folder`` if the block raises no error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as aside:
        new, old = Path(aside, "new"), Path(aside, "old")
        new.mkdir()
        yield new.resolve()
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
