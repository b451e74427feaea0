"""One file per `model_type`. Each defines `read(config)` and lists the keys that it knowingly leaves out."""
