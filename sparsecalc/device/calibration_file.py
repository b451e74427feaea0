"""What must be true of a calibration's file."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sparsecalc.core.errors import InputError
from sparsecalc.core.faults import first_fault

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]


class MeasuredRow(BaseModel):
    """One benchmark: its operation and median; shapes and samples beside them."""

    model_config = ConfigDict(extra="allow", strict=True)

    op: str
    seconds: Seconds


Ways = Annotated[int, Field(ge=1, strict=True)]


class AnchorRow(BaseModel):
    """One measured load of a serving stack; what else stands there is for people."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    params: Ways
    sequences: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    tp: Ways
    pp: Ways
    dp: Ways
    ep: Ways
    prompt_len: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    log_error: Annotated[float, Field(allow_inf_nan=False)]
    ttft_log_error: Annotated[float, Field(allow_inf_nan=False)] | None = None


class Anchor(BaseModel):
    """A serving stack, and its rows."""

    model_config = ConfigDict(extra="allow", strict=True)

    accelerator: str
    engine: str
    dtype: str
    rows: Annotated[list[AnchorRow], Field(min_length=1)]


class TestRow(BaseModel):
    """One measured test of a machine; what else stands there is for people."""

    model_config = ConfigDict(extra="allow", strict=True)

    phase: Literal["decode", "prompt"]
    model: str
    params: Ways
    dense: bool
    quantized: bool
    length: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    log_error: Annotated[float, Field(ge=-20, le=20, allow_inf_nan=False)]
    predicted_spread: Annotated[float, Field(ge=0, le=20, allow_inf_nan=False)]


class TestAnchor(BaseModel):
    """A machine under one engine, and tests measured on it."""

    model_config = ConfigDict(extra="allow", strict=True)

    accelerator: str
    engine: str
    backend: str
    based_on: str
    tests: Annotated[list[TestRow], Field(min_length=1)]


class CalibrationFile(BaseModel):
    """The fields of `Calibration` with their types; what else stands in the file is left alone."""

    model_config = ConfigDict(extra="ignore", strict=True)

    schema_version: Literal[1]
    created: str
    device: str
    device_name: str
    accelerator: str | None = None
    complete: bool = True
    environment: dict[str, Any] = Field(default_factory=dict)
    rows: list[MeasuredRow] = Field(default_factory=list)
    constants: dict[str, Any] | None = None
    prior: dict[str, Any] | None = None
    residuals: dict[str, Any] | None = None
    anchor: Anchor | TestAnchor | None = None


def check_calibration(given: dict[str, Any], where: str, hint: str) -> None:
    """Raise InputError, naming the field, where `given` is not a calibration."""
    try:
        CalibrationFile.model_validate(given)
    except ValidationError as error:
        raise InputError(f"not a calibration ({first_fault(error)})", where=where, hint=hint) from error
