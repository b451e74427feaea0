"""InferenceX (once InferenceMAX) rows: what utils/process_result.py makes of a run, one object or a list of them.

Times are in seconds there. Random lengths are drawn from 0.8 to 1 of the nominal ones (random-range-ratio 0.8), so that
their mean is 0.9 of it. With dp_attention the tp devices are as many copies of the attention.
Source: SemiAnalysisAI/InferenceX, utils/process_result.py.
"""

from sparsecalc.library.serving_files.rows import Record, ServingRow, number, seconds, whole, word

MEAN_LENGTH_SHARE = 0.9
ENGINES = {"trt": "trtllm", "trtllm": "trtllm", "sglang": "sglang", "vllm": "vllm"}
FORMATS = {"fp4": "nvfp4", "mxfp4": "mxfp4", "fp8": "fp8", "int4": "int4", "bf16": "bf16"}
OTHER_FP4 = ("mi", "gpt-oss")
"""How devices and models begin whose four bits are MXFP4."""


def read_inferencex(record: Record, where: str) -> list[ServingRow] | None:
    """The row; None where the object is of another tool."""
    if not {"hw", "conc", "framework", "mean_tpot"} <= record.keys():
        return None
    tp, copies = whole(record.get("tp"), "tp", where), str(record.get("dp_attention")).lower() == "true"
    framework, device = str(record["framework"]), str(record["hw"])
    return [
        ServingRow(
            where=where,
            tool="InferenceX",
            model=word(record.get("model")),
            gpu=device.partition("_")[0].partition("-")[0] or None,
            num_gpus=tp,
            tp=1 if copies else tp,
            dp=tp if copies else None,
            ep=whole(record.get("ep"), "ep", where),
            engine=next((name for start, name in ENGINES.items() if start in framework), None),
            dtype=_format(record, device),
            concurrency=number(record["conc"], "conc", where),
            prompt_len=_mean_length(record, "isl", where),
            output_len=_mean_length(record, "osl", where),
            tpot_seconds=seconds(record["mean_tpot"], "mean_tpot", where, 1.0),
            ttft_seconds=seconds(record.get("mean_ttft"), "mean_ttft", where, 1.0),
            unusable=_unusable(record),
        )
    ]


def _mean_length(record: Record, name: str, where: str) -> float | None:
    nominal = number(record.get(name), name, where)
    return nominal * MEAN_LENGTH_SHARE if nominal else None


def _format(record: Record, device: str) -> str | None:
    precision = str(record.get("precision"))
    names = (device, str(record.get("model")).rpartition("/")[-1])
    if precision == "fp4" and any(name.startswith(OTHER_FP4) for name in names):
        return "mxfp4"
    return FORMATS.get(precision)


def _unusable(record: Record) -> str:
    if str(record.get("spec_decoding") or record.get("mtp") or "none").lower() not in ("none", "off", "false"):
        return "speculative decoding: a step yields several tokens"
    if record.get("disagg") in (True, "true"):
        return "separate pools of prefill and decode"
    return ""
