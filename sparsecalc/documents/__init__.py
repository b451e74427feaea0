"""Floor 5: the documents that commands return, one file for each kind; every format writes them."""
