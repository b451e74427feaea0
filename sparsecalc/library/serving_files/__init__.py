"""Results of serving benchmarks as people have them: our own csv, and what each common tool writes, one module each."""
