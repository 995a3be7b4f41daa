"""Publishes the results in the working folder by copying them to report/reference/."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import yaml

from hw2core.analysis import text
from hw2core.analysis.compared import list_best_in, name_equals
from hw2core.analysis.course import keep_course
from hw2core.analysis.provenance import estimate_minutes
from hw2core.analysis.reference_folder import (
    PublishError,
    keep_networks,
    keep_others,
    replace_folder,
    sum_files,
    write_archive,
)
from hw2core.analysis.report import Document
from hw2core.analysis.rows import SUMMARY_COLUMNS
from hw2core.analysis.tables import Study, find_best, format_table, list_rows, load, select
from hw2core.config.reading import read_config, read_configs
from hw2core.config.study import CHECKOUT, load_study
from hw2core.io import write_text_atomically
from hw2core.runs import paths
from hw2core.runs.staleness import Identity

BEGIN = "<!-- results: written by workflow_scripts/publish_reference.py -->"
END = "<!-- end of results -->"
COMPARED = re.compile(r'<details id="reference">.*?</details>\n', re.DOTALL)  # in report.html
FIGURES = paths.study_figure_paths()
MADE = (paths.SUMMARY_TABLE, paths.REPORT, paths.REPORT_PDF, paths.EXPLORE, *FIGURES)


def publish(
    configs: Sequence[Path],
    seeds: Sequence[int] = (),
    root: Path = CHECKOUT,
    picture: Path | None = None,
) -> Path:
    """Copy results, tables, figures and report of the working folder, and update the README.

    Args:
        configs: the configuration, and at most one overlay.
        seeds: the seeds to publish; by default those of the configuration.
        root: the checkout whose report/reference/ and README are replaced.
        picture: a picture of the explore page for the README.

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
    block = replace_block(
        readme.read_text(encoding="utf-8"), write_block(study, picture=bool(picture))
    )
    folder = root / paths.REFERENCE
    with replace_folder(folder) as new:
        (new / paths.REFERENCE_FIGURES).mkdir()
        for path in MADE:
            shutil.copy(path, new / (paths.REFERENCE_FIGURES if path in FIGURES else ""))
        # A comparison with the publication that this one replaces would be read as one with itself.
        page = new / Path(paths.REPORT).name
        page.write_bytes(COMPARED.sub("", page.read_text(encoding="utf-8")).encode())
        write_archive(new / paths.REFERENCE_RESULTS, study.results)
        keep_networks(folder, new, study.results)
        write_overlay(new / paths.REFERENCE_STUDY, configs[1:], seeds)
        if picture:
            shutil.copyfile(picture, new / paths.REFERENCE_PICTURE)
        keep_others(folder, new)
        write_text_atomically(new / paths.REFERENCE_SUMS, sum_files(new))
    write_text_atomically(readme, block)
    return folder


def check_plan(configs: Sequence[Path], seeds: Sequence[int] = ()) -> None:
    """Check by a dry run that Snakemake would make none of the files to publish again.

    Raises:
        PublishError: a file was not made from these results, this configuration and this code.
        ConfigError: the configuration has mistakes.
    """
    load_study(read_configs(configs), " + ".join(map(str, configs)))  # or Snakemake would refuse it
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--profile=none"]
    command += [f"--snakefile={CHECKOUT / 'Snakefile'}", "--configfile", *map(str, configs)]
    command += ["--config", f"seeds={list(seeds)}"] if seeds else []
    done = subprocess.run([*command, "--", *MADE], capture_output=True, text=True)
    printed = done.stdout + done.stderr
    if "Nothing to be done" not in printed:
        rules = dict.fromkeys(re.findall(r"^(?:local)?rule (\w+):", printed, flags=re.MULTILINE))
        why = text.join_words(rules) if rules else printed.strip().rpartition("\n")[2]
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


def write_overlay(path: Path, overlays: Sequence[Path], seeds: Sequence[int]) -> None:
    """Write what config.yaml has to be merged with: a copy of the overlay, if it has the seeds."""
    if overlays and not seeds:
        shutil.copyfile(overlays[0], path)
        return
    values = read_config(overlays[0]) if overlays else {}
    values |= {"seeds": list(seeds)} if seeds else {}
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def write_block(study: Study, *, picture: bool = False) -> str:
    """Return the Markdown between ``BEGIN`` and ``END``: findings, key figure and table.

    ``picture``: whether there is a picture of the explore page.
    """
    document = Document(study, plain=True)
    experiments = list_experiments(study)
    shown = {"paths": paths, "experiments": experiments, "picture": picture}
    return document.render("readme.md.j2", **shown).strip()


def list_experiments(study: Study) -> pd.DataFrame:
    """Return a row per experiment: number of trained runs, best run and public solutions."""
    runs = study.summary.merge(keep_course(study).baselines, on="run", how="left")
    minutes = estimate_minutes(study)
    rows = []
    for experiment in study.experiments:
        own = select(runs, experiment=experiment.name)
        if own.empty:
            continue
        best = find_best(own) if list_best_in(study, experiment.name) else None
        shown = best or list_rows(own)[0]
        public = f"{shown.median:.1f}, {shown.highest:.1f}"
        row = {
            "Experiment": experiment.name,
            "Networks": ", ".join(own["family"].unique()),
            "Train (all seeds)": f"{(own['trained'] == own['seeds']).sum()} of {len(own)}",
            "Best by validation": f"`{best.run}`{name_equals(own, best)}" if best else text.DASH,
            "Test accuracy (%)": (
                text.format_range(best.test, best.test_low, best.test_high) if best else text.DASH
            ),
            "Hours per seed (estimated)": show_hours([minutes.get(x) for x in own["run"]]),
            "Public median, best (%)": text.DASH if pd.isna(shown.median) else public,
            "Size": "reduced" if shown.reduced else "full",
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
