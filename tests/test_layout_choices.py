"""The layout that is predicted to be best, beside the one that was measured best: tools/layout_choices.py."""

import pytest

from tools.layout_choices import QUESTIONS, choices, share_right


@pytest.mark.parametrize(
    ("question", "least"),
    [("fastest for a user", 0.85), ("most tokens per device", 0.85), ("fastest on equally many devices", 0.6)],
)
def test_share_of_right_choices(question: str, least: float) -> None:
    cost, equal = QUESTIONS[question]
    found = list(choices(cost, equal_devices=equal))
    blind = sum(one.near_share for one in found) / len(found)
    assert len(found) > 90
    assert share_right(found) >= least
    assert share_right(found) > blind, "better than to choose at random"
