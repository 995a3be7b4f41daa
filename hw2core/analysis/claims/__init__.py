"""The study's claims: each empirical sentence of the report, bound to what decides it."""

from hw2core.analysis.claims import part2, plain, record, remedies, residual
from hw2core.analysis.claims.core import Judged, State, judge_claims
from hw2core.analysis.claims.evidence import Evidence

__all__ = [
    "Evidence",
    "Judged",
    "State",
    "judge_claims",
    "part2",
    "plain",
    "record",
    "remedies",
    "residual",
]
