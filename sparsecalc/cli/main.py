"""The `sparsecalc` command: its commands, and how failures end. Imports only what the command that is called needs."""

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from sparsecalc.core.errors import SparsecalcError
from sparsecalc.core.text import printable

COMMANDS = {
    "show": ("show.show", "show qwen3-30b-a3b --gpu h100-sxm --context 32k"),
    "compare": ("compare.compare", "compare mixtral-8x7b llama-70b --gpu h100-sxm --num-gpus 4 --batch-size 1,16,64"),
    "simulate": ("simulate.simulate", "simulate qwen3-30b-a3b --gpu h100-sxm --rate 8 --slo ttft=1s,tpot=50ms"),
    "plan": (
        "plan.plan",
        "plan llama-3.1-70b --gpu all --concurrency 64 --prompt-len 2048 --output-len 512 --tpot 40ms",
    ),
    "explain": ("explain.explain", "explain mixtral-8x7b decode --gpu h100-sxm --num-gpus 2 --batch-size 16"),
    "models": ("models.models", "models --format csv"),
    "gpus": ("gpus.gpus", "gpus --json"),
    "routing": ("routing.routing", "routing qwen3-30b-a3b --routing zipf:0.7 --ep 8"),
    "crossover": ("crossover.crossover", "crossover mixtral-8x7b llama-2-13b --over batch --gpu h100-sxm --num-gpus 2"),
    "dense-equivalent": (
        "dense_equivalent.dense_equivalent",
        "dense-equivalent mixtral-8x7b --gpu h100-sxm --num-gpus 2",
    ),
    "fit": ("fit.fit", "fit --on rtx-4090 --context 32k"),
    "sweep": (
        "sweep.sweep",
        "sweep qwen3-30b-a3b --vary batch=1:256:x2 --vary gpu=h100-sxm,h200-sxm --vary dtype=bf16,fp8 -o rows.csv",
    ),
    "finetune": ("finetune.finetune", "finetune mixtral-8x7b --method qlora --gpu h100-sxm"),
    "verify": ("verify.verify", "verify mixtral-8x7b deepseek-v3"),
    "profile": ("profile.profile", "profile qwen3-30b-a3b --batch-size 1,8,32 --layers 1"),
    "calibrate": ("calibrate.calibrate", "calibrate --quick -o my-device.json"),
    "bench": ("bench.bench", "bench smollm2-360m --output-len 64"),
    "validate": ("validate.validate", "validate --json"),
    "import": ("import_model.import_", "import ./my-model/config.json -o my-model.json"),
}
"""Each command's function in this package, and an example. A new one is a line here."""


def build(called: list[str]) -> typer.Typer:
    """The command line: all commands, or only the one that is called, since options cost time to make."""
    app = typer.Typer(
        add_completion=True,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="What a language model really costs, sparse or dense.",
        epilog=f"Example: sparsecalc {COMMANDS['compare'][1]}",
    )
    app.callback(invoke_without_command=True)(_root)
    for name in called if called and called[0] in COMMANDS else COMMANDS:
        place, example = COMMANDS[name]
        module, function = place.split(".")
        command = getattr(import_module(f"sparsecalc.cli.{module}"), function)
        app.command(name, epilog=f"Example: sparsecalc {example}")(command)
    return app


def _root(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        from importlib.metadata import version as find

        print(f"sparsecalc {find('sparsecalc')}")
        raise typer.Exit


def main() -> None:
    """Run, and turn every failure into one line and an exit code: 1 known failure, 2 bad input, 130 interrupted."""
    debug = os.environ.get("SPARSECALC_DEBUG") == "1"
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for plugins is a tenth of the start-up
    try:
        code = build(sys.argv[1:2])(standalone_mode=False) or 0
    except SparsecalcError as error:
        if debug:
            raise
        _fail(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted")
        code = 130
    except Exception as error:
        if debug:
            raise
        code = _fail_usage(error) if hasattr(error, "format_message") else _fail_unexpectedly(error)
    sys.exit(code)


def _fail_usage(error: Any) -> int:
    """A wrong option or argument; its text is empty where help was printed instead."""
    if text := error.format_message().strip():
        command = error.ctx.command_path if getattr(error, "ctx", None) else "sparsecalc"
        _fail(f"{text}{'' if text[-1] in '.?!' else '.'} Help: {command} --help")
    return 2


def _fail_unexpectedly(error: Exception) -> int:
    _fail(f"unexpected {type(error).__name__}: {error}. The traceback: set SPARSECALC_DEBUG=1; please report it")
    return 1


def _fail(text: str) -> None:
    print(f"error: {printable(text.replace(chr(10), ' '), 2000)}", file=sys.stderr)


if __name__ == "__main__":
    main()
