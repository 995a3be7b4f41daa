"""Nothing is published that Snakemake would make again, such as a report in another style."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from checkout import Checkout

from hw2core.analysis.publish import BEGIN, END

pytestmark = pytest.mark.workflow


def publish(study: Checkout, *, succeeds: bool = False) -> str:
    process = study.execute("workflow_scripts/publish_reference.py", environment={})
    output, _ = process.communicate(timeout=300)
    assert (process.returncode == 0) == succeeds, output
    assert (study / "report/reference/report.html").exists() == succeeds
    return output


def test_what_snakemake_would_make_again_is_refused(study):
    (study / "README.md").write_text(f"{BEGIN}\n{END}\n")
    figure = (study / "figures/study_key.svg").read_bytes()
    shutil.copy(study / "figures/exp1_4_curves.svg", study / "figures/study_key.svg")
    assert "is not done (study_figures and written_report)" in publish(study)
    (study / "figures/study_key.svg").write_bytes(figure)

    study.edit("config.yaml", "Skips?", "Shortcuts?")
    assert "explore_page" in publish(study)
    study.edit("config.yaml", "Shortcuts?", "Skips?")
    publish(study, succeeds=True)


def test_a_report_of_another_figure_style_is_made_again_whatever_its_time(study):
    later = time.time() + 24 * 3600  # left by a wrong clock
    for path in ("report/report.html", "report/report.pdf"):
        os.utime(study / path, (later, later))
    (study / "hw2core/analysis/figures/style.mplstyle").open("a").write("lines.linewidth: 9\n")
    stale = study.plan("figures")
    assert stale["study_figures"] == 1
    # Neither makes a figure; they change Snakemake's records of its params, and its time.
    study.snakemake("--touch", "figures")
    assert study.plan("figures") == stale
    made = [str(path.relative_to(study.folder)) for path in (study / "figures").iterdir()]
    study.snakemake("--cleanup-metadata", *made)
    assert study.plan("figures") == stale
    assert study.plan("figures", "--rerun-triggers", "mtime") == stale
    study.snakemake("--touch", "figures")
    for record in (study / ".snakemake/metadata").iterdir():  # as of a Snakemake before an upgrade
        text = record.read_text()
        record.write_text(text.replace('"record_format_version": 6', '"record_format_version": 5'))
    assert study.plan("figures") == stale
    study.snakemake("figures")
    assert study.plan("figures") == {}
    assert study.plan("report") == {"written_report": 1}
