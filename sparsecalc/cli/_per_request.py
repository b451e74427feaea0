"""`--per-request FILE`: what became of each request, as CSV or JSON lines."""

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sparsecalc.cli._output import check_target, write_atomically

if TYPE_CHECKING:
    from sparsecalc.estimate.replay.results import RequestTimes


class PerRequest:
    """Collects the rows of so many replays, and writes the file once all are there."""

    def __init__(self, target: str, replays: int) -> None:
        check_target(target, "csv")
        self.target, self.replays = Path(target), replays
        self.rows: list[dict[str, object]] = []
        self.seen = 0

    def __call__(self, model: str, rows: "list[RequestTimes]") -> None:
        """Take the rows of one replay."""
        self.seen += 1
        self.rows += [{"model": model, "replay": self.seen, **vars(row)} for row in rows]
        if self.seen == self.replays:
            write_atomically(self.target, self._text())

    def _text(self) -> str:
        if self.target.suffix in (".jsonl", ".json"):
            return "".join(json.dumps(row) + "\n" for row in self.rows)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()
