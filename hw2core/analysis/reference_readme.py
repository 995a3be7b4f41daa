"""The README of the published record: what it is, how it was made, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from hw2core.analysis.reference_table import is_reduced
from hw2core.analysis.report_context import describe_devices, trace_provenance
from hw2core.analysis.wording import (
    REDUCED,
    count,
    describe_evidence,
    format_duration,
    join_words,
)
from hw2core.runs.paths import (
    REFERENCE_FIGURES,
    REFERENCE_RESULTS,
    REFERENCE_STUDY,
    REFERENCE_SUMS,
    REFERENCE_TABLE,
    reference_path,
)
from hw2core.runs.schema import Result

# A study other than config.yaml's has a folder of its own, so that neither makes the other stale.
APART_FOLDER = "output"
APART = f" --directory {APART_FOLDER}"


class Command(NamedTuple):
    """What a reader adds to the commands to mean this record's study and not config.yaml's."""

    study: bool  # whether the record comes with changes to config.yaml
    seeds: tuple[int, ...]  # that were asked for; empty: those of the configuration

    @property
    def files(self) -> str:
        """The words that name the study's files, where it is another than config.yaml's."""
        return f" --configfile config.yaml {reference_path(REFERENCE_STUDY)}{APART}" * self.study

    def write_snakemake(self) -> str:
        """Return the call that trains, draws and writes all that is missing."""
        listed = ",".join(map(str, self.seeds))
        return f"snakemake{self.files}" + (f" --config 'seeds=[{listed}]'" if self.seeds else "")

    def write_unpack(self) -> str:
        """Return the call that puts the record's results where ``write_snakemake`` looks."""
        archive = f"tar -xzf {reference_path(REFERENCE_RESULTS)}"
        return f"mkdir -p {APART_FOLDER} && {archive} -C {APART_FOLDER}" if self.study else archive

    def write_publish(self) -> str:
        """Return the call that writes the record."""
        seeds = f" --seeds {' '.join(map(str, self.seeds))}" if self.seeds else ""
        return f"python workflow_scripts/publish_reference.py{self.files}{seeds}"


def write_readme(
    results: Sequence[Result],
    reference: pd.DataFrame,
    missing: Mapping[str, Sequence[str]],
    command: Command,
) -> str:
    """Return the text, all of it computed.

    Args:
        results: those of the record, all evaluated.
        reference: their table, with the column ``REDUCED``.
        missing: per experiment the names of its runs without a result.
        command: how to call for this record's study.
    """
    absent = [f"`{run}`" for runs in missing.values() for run in runs]
    runs = reference["run"].nunique()
    provenance = trace_provenance(results)
    paragraphs = [
        "# The published record",
        _warn(reference) if is_reduced(reference) else "",
        f"{count(len(results))} results, of {runs} of {runs + len(absent)} planned runs."
        f" {describe_evidence(reference)} Their training took"
        f" {format_duration(float(reference['seconds'].sum()))} together.",
        f"Not in this record: {join_words(absent)}." if absent else "",
        _list_files(command),
        "## Again",
        f"What is missing is trained, drawn and written by\n\n```\n{command.write_snakemake()}\n"
        "```\n\nand its report says of each run whether this record is reproduced. To use the"
        " results of this record instead of training, where the code and the images are still the"
        f" same, unpack them first:\n\n```\n{command.write_unpack()}\n```",
        f"This folder is written, and what it held replaced, by\n\n```\n{command.write_publish()}"
        f"\n```\n\n`sha256sum -c {REFERENCE_SUMS}`, in this folder, checks that its files belong"
        " together.",
        "## Images, epochs, seeds",
        _write_table(
            ("Experiment", "Runs", "Seeds", "Training", "Validation", "Test", "Epochs", "Time"),
            _list_experiments(results, reference),
        ),
        "## Machine",
        _write_table(
            ("Device", "Processor", "Precision", "Threads", "Results", "Time"),
            describe_devices(results),
        ),
        "## Versions",
        _write_table(("Software", "Version", "Results"), provenance["versions"]),
        _write_table(("Model", "Code hash", "Results"), provenance["code"]),
        _write_table(("Commit", "Results"), provenance["commits"]),
        _write_table(("sha256 of the images", "Results"), provenance["data"]),
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def _warn(reference: pd.DataFrame) -> str:
    """Return that the record is reduced, in what, and which experiments."""
    reduced = reference[reference[REDUCED] != ""]
    lines = []
    for facts, rows in reduced.groupby(REDUCED, sort=False):
        names = [f"`{name}`" for name in dict.fromkeys(rows["experiment"])]
        lines.append(f"- {facts}: {join_words(names)}")
    return (
        "**This record is a reduced one.** Of its"
        f" {len(reference)} trainings, {len(reduced)} had less than the study asks for:\n\n"
        + "\n".join(lines)
    )


def _list_files(command: Command) -> str:
    files = [
        ("report.html, report.pdf", "the report of these results"),
        (REFERENCE_TABLE, "one row a training; the last column says what it has less of"),
        (
            REFERENCE_RESULTS,
            "each result (configuration, curves, provenance) and its evaluation on the test images",
        ),
        (f"{REFERENCE_FIGURES}/", "the figures over all experiments"),
    ]
    if command.study:
        files.append((REFERENCE_STUDY, "what is laid over `config.yaml`"))
    return _write_table(("File", "Holds"), [(f"`{name}`", holds) for name, holds in files])


def _list_experiments(
    results: Sequence[Result], reference: pd.DataFrame
) -> Iterable[tuple[str, ...]]:
    for experiment, own in reference.groupby("experiment", sort=False):
        made = [result for result in results if result.experiment == experiment]
        configs = [result.config for result in made]
        images = [_span(x["data"][size] for x in configs) for size in ("train", "validation")]
        yield (
            str(experiment),
            str(own["run"].nunique()),
            _span(own.groupby("run")["seed"].count()),
            *images,
            _span(result.test.num_images for result in made if result.test),
            _span(x["training"]["epochs"] for x in configs),
            format_duration(float(own["seconds"].sum())),
        )


def _span(values: Iterable[int]) -> str:
    """Return the one value, or lowest–highest."""
    found = sorted(set(values))
    return "–".join(count(value) for value in dict.fromkeys((found[0], found[-1])))


def _write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, [":--"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
