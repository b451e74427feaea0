"""How many experts a step's tokens reach."""


def expected_distinct_experts(num_experts: int, num_experts_per_tok: int, tokens: int) -> float:
    """Expected number of distinct experts that `tokens` independent tokens select, uniform routing.

        E * (1 - (1 - k / E) ** tokens)

    k at one token, E in the limit. Exact for uniform, independent top-k; skew lowers it.
    """
    if num_experts == 0 or tokens <= 0:
        return 0.0
    return num_experts * (1.0 - (1.0 - num_experts_per_tok / num_experts) ** tokens)
