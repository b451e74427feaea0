"""Invariants of the replay: nothing is lost, nobody overtakes, no cache overflows, queues are as theory has them."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.estimate.replay.policy import Limits, Policy, Pool, policy_of, pool_of
from sparsecalc.estimate.replay.rank import Rank
from sparsecalc.estimate.replay.run import Fleet, Replay
from sparsecalc.estimate.replay.server import Server
from sparsecalc.estimate.replay.traffic import Lives, Traffic, poisson

MIXED = Policy(mixes=True, splits_prompts=True, reserved_output_share=0.0)
PROMPTS_FIRST = Policy(mixes=False, splits_prompts=True, reserved_output_share=0.5)
WHOLE_PROMPTS = Policy(mixes=True, splits_prompts=False, reserved_output_share=1.0)
POLICIES = (MIXED, PROMPTS_FIRST, WHOLE_PROMPTS)
TOKENS = 1000
"""What the cache of the examples holds."""


@dataclass
class Zero:
    """No experts."""

    def at(self, place: int) -> float:
        return 0.0


class Costs:
    """A step of 1 ms, 10 us per token, and 1 ns per token of context."""

    experts = Zero()
    yielded, guesses = 1.0, 0

    def factor(self, decoding: int, chunks: int) -> float:
        return 1.0

    def local(self, decoding: int, context: float, parts: list[tuple[int, int]]) -> tuple[float, int]:
        tokens = decoding + sum(new for new, _ in parts)
        return 1e-3 + 1e-5 * tokens + 1e-9 * decoding * context, tokens


class Watched(Rank):
    """A rank that checks itself in every step."""

    def schedule(self, now: float) -> list[tuple[int, int]]:
        parts = super().schedule(now)
        assert self.used <= 1 + 1e-6
        assert self.running <= self.limits.max_num_seqs
        assert min(self.decoding, self.tokens, self.used) >= -1e-9
        if self.policy.splits_prompts:
            assert sum(new for new, _ in parts) <= self.limits.max_num_batched_tokens
        for request in self.waiting:  # nobody waits before he has arrived
            assert self.lives.arrival[request] <= now + 1e-9
        return parts


def limits(tokens: float = 1e9, seqs: int = 16, batched: int = 256) -> Limits:
    return Limits(max_num_batched_tokens=batched, max_num_seqs=seqs, pool=Pool(token_share=1 / tokens))


def played(
    traffic: Traffic,
    bounds: Limits,
    policy: Policy = MIXED,
    *,
    ranks: int = 1,
    servers: int = 1,
    costs: Costs | None = None,
) -> tuple[Lives, list[Server]]:
    lives = Lives.of(traffic, 0.0)
    model = costs or Costs()
    found = [
        Server([Watched(lives, bounds, policy, model.yielded, model.guesses) for _ in range(ranks)], model)  # type: ignore[arg-type]
        for _ in range(servers)
    ]
    Replay(Fleet(servers=found, decoders=[]), traffic, lives).run()
    return lives, found


def open_loop(lengths: list[tuple[int, int]], gaps: list[float]) -> Traffic:
    prompts, outputs = (np.array(column) for column in zip(*lengths, strict=True))
    return Traffic(prompt_tokens=prompts, output_tokens=outputs, arrival_seconds=np.cumsum(gaps))


requests = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 100)), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(
    requests,
    st.integers(0, 2**16),
    st.sampled_from(POLICIES),
    st.integers(1, 3),
    st.integers(1, 2),
    st.floats(0.0, 0.1),
)
def test_every_request_is_answered_whole_and_in_time(
    lengths: list[tuple[int, int]], seed: int, policy: Policy, ranks: int, servers: int, gap: float
) -> None:
    gaps = np.random.default_rng(seed).exponential(gap, len(lengths)) if gap else np.zeros(len(lengths))
    traffic = open_loop(lengths, gaps.tolist())
    lives, found = played(traffic, limits(tokens=TOKENS, seqs=8), policy, ranks=ranks, servers=servers)
    arrival, scheduled, first, last = (
        np.array(getattr(lives, name)) for name in ("arrival", "scheduled", "first", "last")
    )
    assert (arrival <= scheduled + 1e-9).all()
    assert (scheduled < first).all()
    assert ((first < last) | (traffic.output_tokens == 1)).all()
    assert (last - first >= (traffic.output_tokens - 1) * 1e-3 - 1e-9).all()
    made = sum(
        steps * decoding
        for server in found
        for steps, decoding in zip(server.samples.steps, server.samples.decoding, strict=True)
    )
    again = sum(rank.preemptions for server in found for rank in server.ranks)
    expected = int((traffic.output_tokens - 1).sum())
    assert expected - again <= made <= expected  # a request that is put back gets one token from its prompt
    for server in found:
        for rank in server.ranks:
            assert (rank.decoding, rank.used, len(rank.waiting)) == (0, pytest.approx(0, abs=1e-9), 0)


@settings(deadline=None, max_examples=40)
@given(requests, st.sampled_from(POLICIES))
def test_first_come_first_served(lengths: list[tuple[int, int]], policy: Policy) -> None:
    lives, _ = played(open_loop(lengths, [0.001] * len(lengths)), limits(seqs=4), policy)
    assert lives.scheduled == sorted(lives.scheduled)
    assert lives.first == sorted(lives.first)


@settings(deadline=None, max_examples=40)
@given(requests, st.integers(0, 2**16))
def test_equal_requests_give_equal_results_and_a_server_never_idles_while_someone_waits(
    lengths: list[tuple[int, int]], seed: int
) -> None:
    gaps = np.random.default_rng(seed).exponential(0.02, len(lengths)).tolist()
    lives, found = played(open_loop(lengths, gaps), limits())
    again, _ = played(open_loop(lengths, gaps), limits())
    assert lives == again
    samples = found[0].samples
    ends = np.array(samples.at) + np.array(samples.seconds)
    arrivals, last = np.array(lives.arrival), np.array(lives.last)
    for end, start in zip(ends[:-1], samples.at[1:], strict=True):
        if start > end + 1e-9:  # an idle gap: nobody is there
            assert not ((arrivals < start - 1e-9) & (last > end + 1e-9)).any()


def test_more_load_never_makes_the_mean_latency_less() -> None:
    generator = np.random.default_rng(1)
    gaps = poisson(1.0, 300, generator)
    means = []
    for rate in (1, 5, 20, 40, 80, 200):
        traffic = Traffic(prompt_tokens=np.full(300, 100), output_tokens=np.full(300, 50), arrival_seconds=gaps / rate)
        lives, _ = played(traffic, limits())
        means.append(float(np.mean(np.array(lives.last) - np.array(lives.arrival))))
    assert means == sorted(means)


def test_a_single_server_of_equal_services_waits_as_m_d_1() -> None:
    """Mean wait in the queue: rho / (2 (1 - rho)) services. Source: Pollaczek and Khinchine, 1930."""
    service = 1e-3 + 1e-5 * 100
    count, rho = 40_000, 0.7
    arrivals = poisson(rho / service, count, np.random.default_rng(2))
    traffic = Traffic(prompt_tokens=np.full(count, 100), output_tokens=np.ones(count, int), arrival_seconds=arrivals)
    lives, _ = played(traffic, limits(seqs=1, batched=100))
    wait = float(np.mean(np.array(lives.scheduled) - np.array(lives.arrival)))
    assert wait == pytest.approx(rho / (2 * (1 - rho)) * service, rel=0.05)


def test_requests_in_the_system_are_rate_times_time() -> None:
    """Little's law, with the mean number taken from the steps."""
    count = 3000
    arrivals = poisson(30.0, count, np.random.default_rng(3))
    traffic = Traffic(prompt_tokens=np.full(count, 100), output_tokens=np.full(count, 100), arrival_seconds=arrivals)
    lives, found = played(traffic, limits(seqs=64))
    samples = found[0].samples
    end = max(lives.last)
    inside = np.array(samples.decoding) + np.array(samples.stalled)
    held = float((inside * np.array(samples.seconds)).sum()) / end
    decoding = float(np.mean(np.array(lives.last) - np.array(lives.first)))
    assert held == pytest.approx(count / end * decoding, rel=0.02)


def test_a_closed_loop_keeps_so_many_in_flight() -> None:
    traffic = Traffic(prompt_tokens=np.full(50, 64), output_tokens=np.full(50, 32), concurrency=5)
    lives, _ = played(traffic, limits())
    assert lives.arrival[:5] == [0.0] * 5
    assert lives.arrival[5:] == sorted(lives.last)[:45]


def test_one_request_takes_its_chunks_and_its_steps() -> None:
    traffic = Traffic(prompt_tokens=np.array([600]), output_tokens=np.array([11]), concurrency=1)
    lives, found = played(traffic, limits(batched=256))
    prompt = 3 * 1e-3 + 600e-5
    assert lives.first[0] == pytest.approx(prompt)
    steps = sum(1e-3 + 1e-5 + 1e-9 * (600 + step) for step in range(1, 11))
    assert lives.last[0] == pytest.approx(prompt + steps)
    assert found[0].samples.steps == [1, 1, 1, 10]


def test_a_full_cache_puts_the_last_request_back_and_computes_it_anew() -> None:
    traffic = Traffic(prompt_tokens=np.array([300, 300]), output_tokens=np.array([300, 300]), concurrency=2)
    lives, found = played(traffic, limits(tokens=TOKENS, batched=1024))
    assert found[0].ranks[0].preemptions == 1
    assert lives.last[0] < lives.last[1]
    whole, _ = played(traffic, limits(tokens=10 * TOKENS, batched=1024))
    assert lives.last[1] > whole.last[1]


def test_an_engine_that_reserves_the_answers_never_preempts() -> None:
    traffic = Traffic(prompt_tokens=np.array([300] * 4), output_tokens=np.array([300] * 4), concurrency=4)
    _, found = played(traffic, limits(tokens=TOKENS, batched=1024), WHOLE_PROMPTS)
    assert found[0].ranks[0].preemptions == 0
    assert max(found[0].samples.decoding) == 1


def test_prompts_stall_those_that_decode_only_where_they_are_not_mixed() -> None:
    arrivals = np.array([0.0, 0.05])
    traffic = Traffic(prompt_tokens=np.array([100, 250]), output_tokens=np.array([100, 10]), arrival_seconds=arrivals)
    _, mixed = played(traffic, limits(), MIXED)
    _, apart = played(traffic, limits(), PROMPTS_FIRST)
    assert sum(mixed[0].samples.stalled) == 0
    assert sum(apart[0].samples.stalled) == 1


def test_a_prompt_that_is_not_split_waits_for_a_step_that_holds_it() -> None:
    traffic = Traffic(prompt_tokens=np.array([200, 200]), output_tokens=np.array([5, 5]), concurrency=2)
    lives, _ = played(traffic, limits(batched=256), WHOLE_PROMPTS)
    assert lives.first[1] > lives.first[0]
    together, _ = played(traffic, limits(batched=400), WHOLE_PROMPTS)
    assert together.first[1] == together.first[0]


def test_copies_that_step_together_put_prompts_off_until_each_has_one() -> None:
    together = WHOLE_PROMPTS.but(gathering_steps=60)
    arrivals = np.array([0.0, 0.0, 0.01, 0.03])
    traffic = Traffic(prompt_tokens=np.full(4, 100), output_tokens=np.full(4, 100), arrival_seconds=arrivals)
    at_once, servers = played(traffic, limits(), WHOLE_PROMPTS, ranks=2)
    gathered, fewer = played(traffic, limits(), together, ranks=2)
    assert at_once.first[2] < 0.02
    assert gathered.first[2] == gathered.first[3] > 0.03
    assert len(fewer[0].samples.at) < len(servers[0].samples.at)
    alone = Traffic(prompt_tokens=np.full(3, 100), output_tokens=np.full(3, 100), arrival_seconds=arrivals[:3])
    late, _ = played(alone, limits(), together, ranks=2)
    steps = (late.scheduled[2] - 0.01) / 1.02e-3
    assert 55 < steps < 65


def test_drafts_make_as_many_tokens_in_fewer_steps() -> None:
    class Drafts(Costs):
        yielded, guesses = 2.5, 2

    traffic = Traffic(prompt_tokens=np.array([100]), output_tokens=np.array([101]), concurrency=1)
    _, found = played(traffic, limits(), costs=Drafts())
    assert sum(found[0].samples.steps) == 1 + ceil(100 / 2.5)


def test_prompts_are_handed_over_to_servers_that_decode() -> None:
    lives = Lives.of(
        traffic := Traffic(prompt_tokens=np.full(20, 100), output_tokens=np.full(20, 50), concurrency=4), 0.0
    )
    pools = [Server([Watched(lives, limits(), MIXED, 1.0, 0)], Costs(), hands) for hands in (True, False)]  # type: ignore[arg-type]
    fleet = Fleet(servers=pools[:1], decoders=pools[1:], transfer_seconds_per_token=1e-4)
    Replay(fleet, traffic, lives).run()
    assert max(pools[0].samples.decoding) == 0
    assert sum(s * d for s, d in zip(pools[1].samples.steps, pools[1].samples.decoding, strict=True)) == 20 * 49
    assert (np.array(lives.last) - np.array(lives.first) >= 100 * 1e-4).all()


def test_a_prefix_cache_spares_prompt_tokens() -> None:
    traffic = Traffic(prompt_tokens=np.array([200]), output_tokens=np.array([1]), concurrency=1)
    lives = Lives.of(traffic, 0.75)
    server = Server([Rank(lives, limits(), MIXED, 1.0, 0)], Costs())  # type: ignore[arg-type]
    Replay(Fleet(servers=[server], decoders=[]), traffic, lives).run()
    assert lives.first[0] == pytest.approx(1e-3 + 50e-5)


def test_every_engine_has_a_scheduler_with_its_source() -> None:
    for name in ("vllm", "sglang", "trtllm", "generic", "llama.cpp"):
        assert policy_of(name).source
    assert policy_of("sglang").reserved(10_000) < policy_of("sglang").reserved(0)


def test_requests_go_to_the_least_loaded_server_or_to_each_in_turn() -> None:
    traffic = Traffic(prompt_tokens=np.full(40, 50), output_tokens=np.full(40, 20), concurrency=8)
    for router in ("least-loaded", "round-robin"):
        lives = Lives.of(traffic, 0.0)
        servers = [Server([Rank(lives, limits(), MIXED, 1.0, 0)], Costs()) for _ in range(2)]  # type: ignore[arg-type]
        Replay(Fleet(servers=servers, decoders=[], router=router), traffic, lives).run()
        shares = [sum(server.samples.decoding) for server in servers]
        assert max(shares) < 1.5 * min(shares)


def test_a_pool_of_blocks_holds_what_the_engine_says() -> None:
    from sparsecalc.estimate.engine_memory.cache import BlockTables, CacheBlocks

    full = CacheBlocks(
        num_blocks=100, block_bytes=1, block_size=16, groups=(BlockTables(count=1, block_tokens=16),), chunk=64
    )
    pool = pool_of(full)
    assert pool.whole(16 * 10) == pytest.approx(10.5 / 100)
    windowed = BlockTables(count=2, block_tokens=16, window=128)
    both = full.but(groups=(*full.groups, windowed))
    assert pool_of(both).whole(10_000) == pytest.approx((625 + 0.5 + 2 * (191 / 16 + 1)) / 100)
