"""What llama.cpp's log prints of memory when it starts: model, KV, compute, output and host buffers."""
