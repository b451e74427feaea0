"""Where the `sparsecalc` command starts."""

import gc


def main() -> None:
    """Run the command line without garbage collection, which only slows the imports of a short process.

    Commands that work for long switch it on again.
    """
    gc.disable()
    from sparsecalc.cli.main import main as run

    run()
