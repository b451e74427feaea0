"""How checkpoints store weights: each scheme's rules, module by module, and the formats that ops get from them."""
