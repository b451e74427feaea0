"""The layout that is predicted to be best, beside the one that was measured best: tools/layout_choices.py."""

import importlib
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"


@pytest.mark.parametrize(
    ("question", "least"),
    [("fastest for a user", 0.85), ("most tokens per device", 0.85), ("fastest on equally many devices", 0.6)],
)
def test_share_of_right_choices(question: str, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOOLS)
    tool = importlib.import_module("layout_choices")
    cost, equal = tool.QUESTIONS[question]
    found = list(tool.choices(cost, equal_devices=equal))
    blind = sum(one.near_share for one in found) / len(found)
    assert len(found) > 90
    assert tool.share_right(found) >= least
    assert tool.share_right(found) > blind, "better than to choose at random"
