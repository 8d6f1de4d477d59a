"""The native engine: from a graph to machine code, with llvmlite.

From the bottom up:

    target            the processor: registers, tiles, what LLVM is told
    builder           text of LLVM IR, written by operators on values
    numbers           pairs of words, polynomials, powers of two
    elementary, trigonometric, special, integers      the vector functions
    math              all of them by name
    vectors           parts of vectors in memory; reductions in a fixed tree
    loops             a fused pass over arrays: `Kernel`, `emit`, `emit_columns`
    gemm              matrix products with epilogues, dot products, transposition
    module, cache     IR to loaded code; objects on disk
    pool_code, pool   threads
    call_code, call   programs as Python callables

Results do not depend on the processor, the number of threads or the size of blocks: vectors have a fixed virtual width, sums a
fixed tree, and the elements of a matrix product are chains over k.
"""
