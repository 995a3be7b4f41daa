"""Claims as Markdown: the three states read differently, and none can pass for another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from hw2core.analysis.claims import Judged, State

# A web page, a printed page, or Markdown that a notebook shows.
Target = Literal["page", "paper", "plain"]
# Dark enough for text on white paper (WCAG 2 AA).
PRINT_COLOURS = {
    State.SUPPORTED: "#116329",
    State.CONTRADICTED: "#a40e26",
    State.UNDECIDED: "#6e4e00",
}


class ClaimsText:
    """What the template prints of the judged claims.

    Args:
        judged: every claim, judged.
        target: what the Markdown is for; colours are the style sheet's, Typst's or none.
    """

    def __init__(self, judged: Sequence[Judged], target: Target) -> None:
        self.judged = judged
        self.target = target

    def tag(self, state: str) -> str:
        """Return the word for a state, marked so that it stands out."""
        known = State(state)
        word = f"**{known.capitalize()}**"
        if self.target == "page":
            return f"[{word}]{{.state .{known}}}"
        if self.target == "paper":
            return f'[{word}]{{typst:text:fill="rgb(\\"{PRINT_COLOURS[known]}\\")"}}'
        return word

    def say(self, group: str) -> str:
        """Return the claims of ``group`` as a list, each with its state and numbers.

        Raises:
            KeyError: no claim is of this group.
        """
        return "\n".join(f"- {self._say_one(judged)}" for judged in self._pick(group)) + "\n"

    def decide(self, group: str) -> str:
        """Return the state that all claims of ``group`` share, or ``mixed``."""
        states = {judged.finding.state for judged in self._pick(group)}
        return states.pop().value if len(states) == 1 else "mixed"

    def count_states(self) -> dict[str, int]:
        """Return how many claims are in each state."""
        counts = Counter(judged.finding.state for judged in self.judged)
        return {state.value: counts[state] for state in State}

    def _pick(self, group: str) -> list[Judged]:
        found = [judged for judged in self.judged if judged.claim.group == group]
        if not found:
            raise KeyError(f"no claim is named {group!r}")
        return found

    def _say_one(self, judged: Judged) -> str:
        sentence, finding = judged.claim.sentence, judged.finding
        tag = self.tag(finding.state)
        if finding.state is State.SUPPORTED:
            return f"{tag}: {sentence} ({finding.numbers})"
        if finding.state is State.CONTRADICTED:
            return f"{tag}: the results are against the sentence “{sentence}” ({finding.numbers})"
        quoted = sentence.removesuffix(".")  # within a sentence
        return f"{tag}: it is open whether “{quoted}” holds ({finding.numbers})"
