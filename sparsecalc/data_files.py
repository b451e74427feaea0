"""Where the package's data lies: inside the wheel, or beside the package in a checkout."""

import json
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


@cache
def data_folder() -> Path:
    """The folder with model_specs/, accelerators/, config_defaults/ and formats.json."""
    inside = _PACKAGE / "data"
    return inside if inside.is_dir() else _PACKAGE.parent / "data"


def read_data(relative: str) -> Any:
    """Parse one of the package's own JSON files."""
    return json.loads((data_folder() / relative).read_text(encoding="utf-8"))
