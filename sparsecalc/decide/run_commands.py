"""The command line that starts an engine's server in a layout."""

from shlex import join


def run_command(
    engine: str,
    model: str,
    *,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: int = 1,
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
) -> str:
    """`vllm serve` with the options that make the layout; empty for an engine whose options are not known here.

    vLLM's experts lie on all tp * dp devices, or on none apart: ep is 1 or tp * dp. Source: vLLM 0.33.0
    engine/arg_utils.py.
    """
    if engine != "vllm":
        return ""
    options = {
        "--tensor-parallel-size": tp if tp > 1 else None,
        "--pipeline-parallel-size": pp if pp > 1 else None,
        "--data-parallel-size": dp if dp > 1 else None,
        "--max-model-len": max_model_len,
        "--max-num-seqs": max_num_seqs,
    }
    words = [word for name, value in options.items() if value for word in (name, str(value))]
    return join(["vllm", "serve", model, *words, *(["--enable-expert-parallel"] if ep > 1 else [])])
