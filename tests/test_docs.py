"""The documents name files that exist, and the rules as Snakemake draws them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checkout import Checkout

CHECKOUT = Path(__file__).parents[1]
PLACES = (CHECKOUT, CHECKOUT / "hw2core", CHECKOUT / "hw2core" / "runs")
DOCUMENTS = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *CHECKOUT.glob("docs/*.md")]
BUILT = ("results/", "figures/", "logs/", "output", ".snakemake/", "data/<")


def name(document: Path) -> str:
    return document.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_to_files(document):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


# The recipes of docs/extend.md name files that readers write; tests/test_extend.py follows them.
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.name != "extend.md"], ids=name)
def test_files_that_are_named_exist(document):
    text = document.read_text(encoding="utf-8")
    words = re.findall(r"`([\w./-]+(?:/|\.(?:py|smk|yaml|csv|md|lock)))`", text)
    named = [word for word in words if not word.startswith(BUILT)]
    missing = [word for word in named if not any((place / word).exists() for place in PLACES)]
    assert missing == []


@pytest.mark.workflow
def test_the_rules_are_drawn_as_snakemake_draws_them(tmp_path):
    checkout = Checkout(CHECKOUT)
    drawn = checkout.snakemake("--rulegraph", "mermaid-js", "--directory", str(tmp_path))
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", drawn))
    edges = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", drawn)}
    text = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    written = re.findall(r"^ +(\w+) --> (\w+)$", text, re.MULTILINE)
    assert sorted(written) == sorted(edges)


def test_settings_of_the_cluster_that_the_document_names_are_in_its_configuration():
    text = (CHECKOUT / "docs" / "cluster.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if " in slurm/config.yaml" in line]
    named = [
        name
        for row in rows
        for name in re.findall(r"`(\w+)`", row.partition(" in slurm/config.yaml")[0])
    ]
    assert "constraint" in named
    configured = (CHECKOUT / "slurm" / "config.yaml").read_text(encoding="utf-8")
    keys = re.findall(r"^[ #]*([\w-]+):", configured, re.MULTILINE)
    assert set(named) <= set(keys)
