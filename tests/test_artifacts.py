from __future__ import annotations

from hw2core import artifacts


def test_paths_make_patterns_and_names():
    assert artifacts.result_path("{run}", "{seed}") == "results/{run}/seed{seed}.json"
    assert artifacts.result_path("exp1_4_L8_K32", 2) == "results/exp1_4_L8_K32/seed2.json"
    assert len(set(artifacts.figure_paths("exp2"))) == len(artifacts.figure_paths("exp2")) == 4


def test_of_the_published_record_the_report_reads_the_table_only(tmp_path):
    sources = {"report.md.j2", "parts/x.md.j2", "style.css", "reference/summary.csv"}
    others = {"report.html", "README.md", "reference/study.yaml", "reference/figures/x.csv"}
    others |= {".reference.x/new/summary.csv"}
    for name in sources | others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = artifacts.list_report_sources(tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in found} == sources
