"""Compiled kernels for the CPU: their sources, their compilation, and ops that call them."""
