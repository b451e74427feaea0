"""Floor 7: the command line. Thin: parse, call, pick a report, exit code."""
