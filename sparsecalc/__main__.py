"""`python -m sparsecalc`."""

from sparsecalc.cli.entry import main

main()
