"""Timings of one piece of work: their statistics, and which of them are kept. No clock is looked at."""

import pytest

pytest.importorskip("torch")

from sparsecalc.measure.calibrate.benchmark import Work, counted_seconds
from sparsecalc.measure.machine.device import kernel_bytes
from sparsecalc.measure.machine.nvidia_smi import figure, throttling
from sparsecalc.measure.machine.samples import Samples, quantile
from sparsecalc.measure.machine.stopwatch import kept_samples, undisturbed


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (0.9, 7.9), (1.0, 10.0)])
def test_quantiles_are_interpolated(share: float, value: float) -> None:
    """Of 1, 2, 3, 10 at place 3 * share: 0.75 is 1 + 0.75 * 1, 1.5 is 2 + 0.5 * 1, 2.7 is 3 + 0.7 * 7."""
    assert quantile([10.0, 3.0, 1.0, 2.0], share) == pytest.approx(value)


def test_one_sample_is_every_quantile() -> None:
    assert [quantile([4.0], share) for share in (0.0, 0.5, 1.0)] == [4.0, 4.0, 4.0]


def test_statistics_of_samples() -> None:
    """Of 1 to 5 and 30: quartiles 2.25 and 4.75, so outliers lie above 4.75 + 3 * 2.5 = 12.25."""
    samples = Samples([5.0, 1.0, 30.0, 2.0, 4.0, 3.0], rejected=2, method="cuda graph")
    assert (samples.median, samples.p10, samples.p90) == pytest.approx((3.5, 1.5, 17.5))
    assert samples.outliers == [30.0]
    assert Samples([5.0, 1.0, 12.0, 2.0, 4.0, 3.0]).outliers == []
    halves = samples.with_seconds([seconds / 2 for seconds in samples.seconds])
    assert (halves.median, halves.rejected, halves.method) == (1.75, 2, "cuda graph")


def test_a_preempted_sample_is_left_out() -> None:
    """One thread: at least 97 % of one processor. Two: at least 97 % of the 1.9 that the best sample got, 1.843."""
    assert undisturbed([1.0, 0.96, 0.97, 0.5], threads=1) == [0, 2]
    assert undisturbed([1.9, 1.85, 1.84, 1.0], threads=2) == [0, 1]
    assert undisturbed([0.1, 0.9], threads=None) == [0, 1], "another device works"


def test_on_a_busy_machine_the_least_disturbed_are_kept_in_order() -> None:
    shares = [0.5, 0.9, 0.6, 0.8, 0.1, 0.7, 0.2]
    assert kept_samples(shares, threads=1) == [0, 1, 2, 3, 5]
    assert kept_samples([1.0] * 6 + [0.5], threads=1) == [0, 1, 2, 3, 4, 5]


def test_what_of_a_benchmarks_run_counts() -> None:
    """Runs of 10 and 14 seconds with 4 and 6 between the marks."""

    def nothing() -> None:
        pass

    whole, inside = [10.0, 14.0], [4.0, 6.0]
    assert counted_seconds(Work(nothing, repeats=4), whole, [0.0, 0.0]) == [2.5, 3.5]
    assert counted_seconds(Work(nothing, marked=lambda: 0.0), whole, inside) == [4.0, 6.0]
    assert counted_seconds(Work(nothing, marked=lambda: 0.0, outside=True), whole, inside) == [6.0, 8.0]


def test_what_linux_and_nvidia_smi_write() -> None:
    assert [kernel_bytes(text) for text in ("512", "32768K", "2M")] == [512, 33_554_432, 2_097_152]
    assert figure("sm_clock_hz", "1980") == 1.98e9
    assert figure("power_limit_watts", "700.00") == 700.0
    assert figure("driver", "550") == "550"
    assert figure("mig_mode", "Disabled") == "Disabled"
    assert figure("power_draw_watts", "[N/A]") is figure("driver", "") is None
    assert throttling("0x0000000000000044") == ["power cap", "temperature (hardware)"]
    assert throttling("0x0") == []
    assert throttling("[N/A]") is None
