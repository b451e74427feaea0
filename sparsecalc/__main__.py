"""`python -m sparsecalc`."""

from sparsecalc.cli.main import main

main()
