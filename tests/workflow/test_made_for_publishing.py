"""Only what Snakemake made from the present results and configuration is published."""

from __future__ import annotations

import shutil

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
