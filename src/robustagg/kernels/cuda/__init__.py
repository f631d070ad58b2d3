"""The CUDA backend: bodies of csrc/cuda as texts, machines that run them, and the primitives made of both."""
