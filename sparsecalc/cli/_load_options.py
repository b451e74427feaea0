"""Options of a server under load: what comes, what serves it, what must be kept."""

from typing import Annotated

import typer

from sparsecalc.cli._options import Batched, Options, default_of

Rate = Annotated[str | None, typer.Option(help="requests per second, as a Poisson process; a list: 1,2,4")]
Loop = Annotated[int | None, typer.Option(help="requests always in flight, all at once at first")]
Trace = Annotated[
    str | None,
    typer.Option(help="CSV or JSON lines of arrival_s, prompt_tokens, output_tokens; Azure's, BurstGPT's"),
]
FindRate = Annotated[bool, typer.Option("--find-rate", help="the highest rate that keeps the targets of --slo")]
PromptLengths = Annotated[
    str | None,
    typer.Option(
        "--prompt-len",
        help=f"tokens of a prompt: 1024 (within {default_of('length_spread')[10:-1]} of it), 1024~0, 1024~0.2,"
        " lognormal:1024:0.8, or a file",
    ),
]
OutputLengths = Annotated[str | None, typer.Option("--output-len", help="tokens of an answer, likewise")]
Count = Annotated[
    int | None,
    typer.Option(help=f"how many {default_of('simulated_requests')}; ten for each in flight; all of a trace"),
]
Seed = Annotated[int, typer.Option(help="of arrivals and lengths")]
Slo = Annotated[str | None, typer.Option(help="targets of each request: ttft=1s,tpot=50ms,e2e=30s")]
Attained = Annotated[
    float | None,
    typer.Option(help=f"share of requests that must keep them, for --find-rate {default_of('attained_share')}"),
]
ReplicasOf = Annotated[int, typer.Option("--replicas", help="servers beside each other, each with --num-gpus devices")]
Router = Annotated[str, typer.Option(help="between servers: least-loaded or round-robin")]
Disaggregate = Annotated[str | None, typer.Option(help="servers for prompts and for decoding: 2:4")]
HitShare = Annotated[float, typer.Option("--prefix-hit-share", help="share of each prompt that a prefix cache holds")]

TRAFFIC: Options = {
    "rate": (Rate, None),
    "concurrency": (Loop, None),
    "trace": (Trace, None),
    "find_rate": (FindRate, False),
    "prompt_len": (PromptLengths, None),
    "output_len": (OutputLengths, None),
    "requests": (Count, None),
    "seed": (Seed, 0),
}
TARGETS: Options = {"slo": (Slo, None), "attained": (Attained, None)}
SERVERS: Options = {
    "replicas": (ReplicasOf, 1),
    "router": (Router, "least-loaded"),
    "disaggregate": (Disaggregate, None),
    "prefix_hit_share": (HitShare, 0.0),
    "max_num_batched_tokens": (Batched, None),
}
