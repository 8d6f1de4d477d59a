"""Matrix products: exact on integers for every tail and layout, the same bits whatever the blocks, refusals."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest

from chainrule.emit.native import gemm, module
from chainrule.emit.native.builder import F32, F64, I64, PTR, Module, Type, select
from chainrule.emit.native.gemm import Matrix, Product
from chainrule.emit.native.target import Target, host, named
from native_code import load

RNG = np.random.default_rng(3)
TYPES = {"float64": F64, "float32": F32}


def row_major(rows: int, columns: int, ld: int | None = None) -> Matrix:
    ld = ld or columns
    return Matrix(ld, 1, max((rows - 1) * ld + columns, 0))


def product(m: int, n: int, k: int, t: Type, transposed: bool = False, beta: float = 0.0) -> Product:
    a = Matrix(1, m, m * k) if transposed else row_major(m, k)
    return Product(m, n, k, a, row_major(k, n), row_major(m, n), t, beta)


def multiply(p: Product, a, b, c, target: Target | None = None, packed: bool = False, shares: int = 0, **options) -> None:
    """Run a product on arrays; in `shares` calls over its blocks of rows if given."""
    target = target or host()
    m = Module(target.triple)
    f = m.function("k", [("a", PTR), ("b", PTR), ("c", PTR), ("s", PTR), ("first", I64), ("last", I64)])
    pa, pb, pc, scratch, first, last = f.params
    if packed:
        strips = (first, last) if shares else None
        gemm.emit_strips(f, target, p, pa, pb, pc, scratch, strips_=strips, **options)
    else:
        gemm.emit(f, target, p, pa, pb, pc, rows=(first, last) if shares else None, **options)
    code = load(m.text(), ["k"], target)
    room = np.zeros(gemm.strip_bytes(target, p), np.uint8)
    run = code.function("k", *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.c_int64)
    count = gemm.strips(target, p) if packed else gemm.row_blocks(target, p)
    edges = np.linspace(0, count, max(shares, 1) + 1).astype(int)
    for first_, last_ in itertools.pairwise(edges):
        run(a.ctypes.data, b.ctypes.data, c.ctypes.data, room.ctypes.data, first_, last_)


def integers(*shape: int, dtype: str) -> np.ndarray:
    """Products of these are exact, so that any error is an error of indexing."""
    return RNG.integers(-8, 9, shape).astype(dtype)


SIZES = [(1, 1, 1), (2, 3, 4), (5, 7, 3), (6, 8, 8), (7, 9, 5), (13, 17, 11), (16, 16, 16), (12, 33, 2), (64, 10, 64), (4, 1, 9)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("m", "n", "k"), SIZES)
@pytest.mark.parametrize("transposed", [False, True])
def test_products_of_every_shape(m: int, n: int, k: int, dtype: str, transposed: bool):
    a, b = integers(*((k, m) if transposed else (m, k)), dtype=dtype), integers(k, n, dtype=dtype)
    whole = np.full(m * n + 64, 99, dtype)
    c = whole[32 : 32 + m * n].reshape(m, n)
    multiply(product(m, n, k, TYPES[dtype], transposed), a, b, c)
    np.testing.assert_array_equal(c, (a.T if transposed else a) @ b)
    assert (whole[:32] == 99).all()
    assert (whole[32 + m * n :] == 99).all()


@pytest.mark.parametrize("beta", [1.0, -2.0])
def test_beta_adds_to_what_is_there(beta: float):
    a, b, c = integers(7, 5, dtype="float64"), integers(5, 9, dtype="float64"), integers(7, 9, dtype="float64")
    want = beta * c + a @ b
    multiply(product(7, 9, 5, F64, beta=beta), a, b, c)
    np.testing.assert_array_equal(c, want)


def test_leading_dimensions_and_offsets():
    a, b = integers(9, 20, dtype="float32"), integers(6, 31, dtype="float32")
    c = np.zeros((9, 40), "float32")
    p = Product(9, 21, 6, Matrix(20, 1, a.size, offset=3), Matrix(31, 1, b.size, offset=5), Matrix(40, 1, c.size, offset=7), F32)
    multiply(p, a, b, c)
    np.testing.assert_array_equal(c[:, 7:28], a[:, 3:9] @ b[:, 5:26])
    assert not c[:, :7].any()
    assert not c[:, 28:].any()


@pytest.mark.parametrize("n", [5, 16, 37])
def test_bias_and_activation_in_registers(n: int):
    """relu(x W + bias), the mask of the activation stored by the epilogue as well."""
    x, w, bias = integers(13, 6, dtype="float64"), integers(6, n, dtype="float64"), integers(n, dtype="float64")
    c, seen = np.zeros((13, n)), np.zeros((13, n))
    m = Module(host().triple)
    f = m.function("k", [(name, PTR) for name in "abcds"])
    pa, pb, pc, pbias, pseen = f.params

    def start(block: gemm.Block):
        lanes = min(host().lanes(64), 1 << (n - 1).bit_length())
        return gemm.vectors.load(f.offset(pbias, block.j, F64), F64.of(max(lanes, 2)), block.count)

    def relu(v, block: gemm.Block):
        at = f.offset(f.offset(pseen, block.i * n, F64), block.j, F64)
        gemm.vectors.store(v, at, block.count)
        return select(v.gt(0.0), v, 0.0)

    gemm.emit(f, host(), product(13, n, 6, F64), pa, pb, pc, init=start, epilogue=relu)
    load(m.text(), ["k"]).function("k", *[ctypes.c_void_p] * 5)(*(v.ctypes.data for v in (x, w, c, bias, seen)))
    np.testing.assert_array_equal(seen, x @ w + bias)
    np.testing.assert_array_equal(c, np.maximum(x @ w + bias, 0))


@pytest.mark.parametrize("shares", [1, 2, 3, 50])
@pytest.mark.parametrize("m", [31, 64, 20])  # with a rest, and in blocks that are all alike
def test_shares_of_the_rows_make_the_whole(shares: int, m: int):
    a, b, c = integers(m, 8, dtype="float32"), integers(8, 19, dtype="float32"), np.zeros((m, 19), "float32")
    multiply(product(m, 19, 8, F32), a, b, c, shares=shares)
    np.testing.assert_array_equal(c, a @ b)


@pytest.mark.parametrize(("m", "n", "k"), [(3, 5, 300), (20, 700, 10), (13, 521, 600), (8, 16, 512), (17, 1030, 257)])
@pytest.mark.parametrize("transposed", [False, True])
def test_packing_changes_no_bit(m: int, n: int, k: int, transposed: bool):
    a, b = RNG.normal(size=(k, m) if transposed else (m, k)), RNG.normal(size=(k, n))
    plain, packed = RNG.normal(size=(m, n)), np.zeros((m, n))
    packed[:] = plain
    start = plain.copy()
    p = product(m, n, k, F64, transposed, beta=0.5)
    multiply(p, a, b, plain)
    multiply(p, a, b, packed, packed=True)
    shared = start.copy()
    multiply(p, a, b, shared, packed=True, shares=3)
    assert shared.tobytes() == packed.tobytes()
    assert plain.tobytes() == packed.tobytes()


def test_the_epilogue_of_a_packed_product_sees_every_element_once():
    a, b, c = integers(7, 600, dtype="float32"), integers(600, 530, dtype="float32"), np.zeros((7, 530), "float32")
    multiply(product(7, 530, 600, F32), a, b, c, packed=True, epilogue=lambda v, _: v * 2.0 + 1.0)
    np.testing.assert_array_equal(c, 2 * (a @ b) + 1)


@pytest.mark.skipif(not (host().is_x86 and host().has_fma), reason="compares x86 instruction sets")
def test_the_same_bits_with_other_blocks():
    a, b = RNG.normal(size=(37, 29)), RNG.normal(size=(29, 41))
    results = []
    for target in (
        host(),
        Target(**{**named("avx2").__dict__, "registers": 32}),
        Target(**{**named("avx2").__dict__, "vector_bytes": 16}),
    ):
        c = np.zeros((37, 41))
        multiply(product(37, 41, 29, F64), a, b, c, target)
        results.append(c.tobytes())
    assert len(set(results)) == 1
    np.testing.assert_allclose(np.frombuffer(results[0]).reshape(37, 41), a @ b, rtol=0, atol=1e-13)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [1, 3, 8, 16, 17, 64, 70, 200, 1000])
def test_dot_and_matvec(dtype: str, n: int):
    a, x, y = integers(5, n, dtype=dtype), integers(n, dtype=dtype), np.zeros(5, dtype)
    m, t = Module(host().triple), TYPES[dtype]
    f = m.function("k", [(name, PTR) for name in "axy"])
    gemm.matvec(f, 5, n, row_major(5, n), t, *f.params, epilogue=lambda v, _: v + 1.0)
    load(m.text(), ["k"]).function("k", *[ctypes.c_void_p] * 3)(a.ctypes.data, x.ctypes.data, y.ctypes.data)
    np.testing.assert_array_equal(y, a @ x + 1)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("r", "c"), [(1, 1), (3, 5), (8, 8), (9, 17), (64, 33)])
def test_transposition(dtype: str, r: int, c: int):
    a = RNG.normal(size=(r, c + 2)).astype(dtype)
    out = np.zeros((c, r + 3), dtype)
    m = Module(host().triple)
    f = m.function("k", [("a", PTR), ("b", PTR)])
    gemm.transpose(f, r, c, TYPES[dtype], f.params[0], c + 2, f.params[1], r + 3)
    load(m.text(), ["k"]).function("k", *[ctypes.c_void_p] * 2)(a.ctypes.data, out.ctypes.data)
    np.testing.assert_array_equal(out[:, :r], a[:, :c].T)
    assert not out[:, r:].any()


@pytest.mark.parametrize(
    "broken",
    [
        {"a": Matrix(6, 1, 5 * 6 - 1)},
        {"b": Matrix(7, 1, 41)},
        {"c": Matrix(7, 1, 35, offset=1)},
        {"b": Matrix(1, 6, 42)},
        {"a": Matrix(-6, 1, 30)},
    ],
)
def test_a_product_outside_its_matrices_is_refused(broken: dict[str, Matrix]):
    good = {"a": row_major(5, 6), "b": row_major(6, 7), "c": row_major(5, 7)}
    Product(5, 7, 6, **good, dtype=F64).check()
    with pytest.raises(ValueError, match=r"reaches element|contiguous"):
        Product(5, 7, 6, **{**good, **broken}, dtype=F64).check()


@pytest.mark.parametrize("name", ["aarch64", "avx512", "plain"])
def test_code_for_other_machines_is_generated(name: str):
    target, m = named(name), Module(named(name).triple)
    f = m.function("k", [(n, PTR) for n in "abcs"])
    gemm.emit(f, target, product(31, 33, 16, F32), *f.params[:3])
    gemm.emit_strips(f, target, product(31, 633, 16, F32), *f.params)
    assert len(module.compile_object(m.text(), target)) > 1000
