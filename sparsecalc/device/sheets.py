"""The built-in data sheets of accelerators, by their ids."""

from functools import cache

from sparsecalc.data_files import data_folder, read_data
from sparsecalc.device.accelerator import Accelerator


@cache
def accelerator_ids() -> tuple[str, ...]:
    """Ids of the built-in accelerators, sorted, from file names alone."""
    return tuple(sorted(path.stem for path in (data_folder() / "accelerators").glob("*.json")))


@cache
def built_in(name: str) -> Accelerator:
    """The accelerator of an id."""
    return Accelerator.model_validate(read_data(f"accelerators/{name}.json"))


@cache
def all_accelerators() -> tuple[str, ...]:
    """Ids of what `--gpu all` means: every built-in GPU and other accelerator, no CPU and no whole computer."""
    kinds = {name: read_data(f"accelerators/{name}.json")["kind"] for name in accelerator_ids()}
    return tuple(name for name, kind in kinds.items() if kind in ("gpu", "asic"))
