"""JSON objects of sane size from the user's own files."""

import json
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable


def json_object(content: bytes, where: str, largest_bytes: int, hint: str) -> dict[str, Any]:
    """A JSON object in UTF-8, with or without a byte order mark.

    Raises InputError in one line: too large (`content` may hold one byte more than is allowed), not JSON, no object.
    """
    if len(content) > largest_bytes:
        raise InputError(f"more than {largest_bytes:,} bytes", where=where, hint=hint)
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else printable(str(error), 80)
        raise InputError(f"not JSON ({reason})", where=where, hint=hint) from error
    if not isinstance(found, dict):
        raise InputError("not a JSON object", where=where, hint=hint)
    return found
