"""Dollars: what devices cost by the hour, and a million tokens on them."""

from sparsecalc.device.accelerator import Accelerator


def usd_per_hour(gpu: Accelerator, num_gpus: int) -> float | None:
    """USD per hour of `num_gpus` devices; None without a price."""
    return None if gpu.usd_per_hour is None else num_gpus * gpu.usd_per_hour.value


def usd_per_million_tokens(per_hour: float | None, seconds_per_token: float) -> float | None:
    """USD of a million tokens on devices of `per_hour` USD together; None without a price."""
    return None if per_hour is None else per_hour / 3600 * seconds_per_token * 1e6
