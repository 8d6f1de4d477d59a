"""The native engine: from a graph to machine code, with llvmlite."""
