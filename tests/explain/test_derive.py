"""The contract of `cr.derive`: layouts, Hessians and Jacobians, functions at every size, pictures and pages, errors."""

import re
import xml.etree.ElementTree as ET
from html import escape
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.explain.html import page
from derivation_cases import FUNCTIONS

REGRESSION = {"X": "n,d", "w": "d", "y": "n"}


def point(d: cr.Derivation, sizes: dict[str, int], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=d.problem.shape(k, sizes)) for k in range(len(d.problem.names))]


def test_a_formula() -> None:
    d = cr.derive("mean((sigmoid(W @ x + b) - y)**2)", wrt="W", shapes={"W": "m,n", "x": "n", "b": "m", "y": "m"})
    assert isinstance(d, cr.Derivation)
    assert d.kind == "gradient"
    assert str(d).splitlines()[0] == r"a = \sigma\left(W x + b\right)"
    assert d.latex.startswith(r"\begin{aligned}")
    assert d._repr_latex_() == f"$$\n{d.latex}\n$$"
    assert repr(d).startswith("<gradient of f with respect to W>\n")


def test_shapes_are_texts_or_tuples_of_names_and_numbers() -> None:
    for shape in ("n, 3", "(n, 3)", ("n", 3), ["n", 3], ("n", np.int64(3))):
        d = cr.derive("sum(X @ w)", wrt="w", shapes={"X": shape, "w": (3,)})
        assert d.problem.shapes == [("n", 3), (3,)]
    assert cr.derive("x**2", wrt="x", shapes={"x": ""}).kind == "derivative"
    assert cr.derive("sum(x**2)", wrt="x", shapes={"x": 4}).problem.shapes == [(4,)]


def test_layouts_agree_up_to_the_transpose() -> None:
    shapes = {"A": "m,k", "X": "k,n", "B": "n,m"}
    below, above = (cr.derive("tr(A @ X @ B)", wrt="X", shapes=shapes, layout=k) for k in ("denominator", "numerator"))
    xs = point(below, {"m": 3, "k": 4, "n": 5})
    assert below.function(*xs).shape == (4, 5)
    np.testing.assert_allclose(above.function(*xs), below.function(*xs).T)
    assert (below.latex, above.latex) == (
        r"\frac{\partial f}{\partial X} = A^{\top} B^{\top}",
        r"\frac{\partial f}{\partial X} = B A",
    )
    line = cr.derive("mean((X @ w - y)**2)", wrt="w", shapes=REGRESSION, layout="numerator")
    assert line.latex == r"\frac{\partial f}{\partial w} = \frac{2}{n} \left(X w - y\right)^{\top} X"


def test_hessians() -> None:
    d = cr.derive("mean(log(1 + exp(-y*(X @ w)))) + lam/2*(w' @ w)", wrt="w", shapes=REGRESSION, order=2)
    X, w, y, lam = np.random.default_rng(0).normal(size=(5, 3)), np.ones(3), np.sign(np.arange(5) - 2.0), 0.3
    values = {"X": X, "w": w, "y": y, "lam": lam}
    s = 1 / (1 + np.exp(-y * (X @ w)))
    expected = X.T @ np.diag(y**2 * s * (1 - s)) @ X / 5 + lam * np.eye(3)
    space: dict[str, Any] = {}
    exec(d.source, space)
    np.testing.assert_allclose(d.function(*[values[n] for n in d.problem.names]), expected, rtol=1e-12)
    np.testing.assert_allclose(space["gradient"](**values), expected, rtol=1e-12)
    assert d.kind == "Hessian"
    assert r"\lambda I" in d.latex
    assert r"\frac{\partial^2 f}{\partial w \, \partial w^{\top}}" in d.latex


def test_hessian_in_a_matrix_has_four_indices() -> None:
    d = cr.derive("norm(A @ X)**2/2", wrt="X", shapes={"A": "m,n", "X": "n,k"}, order=2)
    (A, X) = (np.random.default_rng(k).normal(size=s) for k, s in enumerate(((3, 4), (4, 2))))
    space: dict[str, Any] = {}
    exec(d.source, space)
    expected = np.einsum("ia,ib,cd->acbd", A, A, np.eye(2))
    np.testing.assert_allclose(space["gradient"](A, X), expected, rtol=1e-12)
    assert re.search(r"\\partial X_\{\w\w\} \\, \\partial X_\{\w\w\}", d.latex)


def test_jacobians() -> None:
    d = cr.derive("softmax(W @ x)", wrt=("W", "x"), shapes={"W": "m,n", "x": "n"})
    W, x = np.random.default_rng(0).normal(size=(3, 4)), np.random.default_rng(1).normal(size=4)
    p = np.exp(W @ x) / np.sum(np.exp(W @ x))
    J = np.diag(p) - np.outer(p, p)
    space: dict[str, Any] = {}
    exec(d.source, space)
    for found in (d.function(W, x), space["gradient"](W, x)):
        np.testing.assert_allclose(found[0], np.einsum("ij,k->ijk", J, x), rtol=1e-10)
        np.testing.assert_allclose(found[1], J @ W, rtol=1e-10)
    assert d.kind == "Jacobian"


@pytest.mark.parametrize("case", FUNCTIONS, ids=lambda c: c.f.__name__)
def test_a_function_is_derived_for_every_size_from_one_example(case: Any) -> None:
    """Sizes that were equal in the example are told apart, unless the program needs them equal."""
    d = cr.derive(case.f, *case.make(np.random.default_rng(0)), wrt=case.wrt)
    assert not d.problem.fixed
    assert all(isinstance(n, str) for shape in d.problem.shapes for n in shape)


def test_equal_sizes_are_told_apart_only_where_they_may_differ() -> None:
    square = cr.derive(lambda A, x: x @ A @ x, np.ones((3, 3)), np.ones(3), wrt="x")
    assert square.problem.shapes == [("n", "n"), ("n",)]
    tall = cr.derive(lambda X, w, y: np.mean((X @ w - y) ** 2), np.ones((3, 3)), np.ones(3), np.ones(3), wrt="w")
    assert tall.problem.shapes == [("n", "d"), ("d",), ("n",)]
    fixed = cr.derive(lambda x: np.sum(x * np.array([1.0, 2.0, 3.0])), np.ones(3))
    assert fixed.problem.shapes == [(3,)]
    assert "these only" in " ".join(fixed.conventions)
    strided = cr.derive(lambda x: np.sum(x[::2] ** 2), np.ones(6))
    assert strided.problem.fixed == ["6"]


def test_a_function_with_shapes_in_place_of_examples() -> None:
    def loss(X: Any, w: Any, y: Any) -> Any:
        return np.mean((X @ w - y) ** 2)

    d = cr.derive(loss, wrt="w", shapes=REGRESSION)
    assert d.latex == r"\frac{\partial f}{\partial w} = \frac{2}{n} X^{\top} \left(X w - y\right)"
    renamed = cr.derive(loss, np.ones((4, 3)), np.ones(3), np.ones(4), wrt=1, names=("Phi", "theta", "t"))
    assert renamed.latex == r"\frac{\partial f}{\partial \theta} = \frac{2}{n} \Phi^{\top} \left(\Phi \theta - t\right)"


def test_what_stops_gradients_is_said() -> None:
    d = cr.derive(lambda x: np.sum(cr.stop_gradient(x) * x), np.ones(3))
    assert d.latex == r"\frac{\partial f}{\partial x} = x"
    assert "what stands under stop_gradient counts as a constant" in d.conventions
    shifted = cr.derive(lambda x: np.sum(np.exp(x - cr.stop_gradient(x)) * 0 + x**2), np.ones(3))
    assert all("stop_gradient" not in c for c in shifted.conventions)


def test_the_argument_of_a_function_may_be_changed_in_place() -> None:
    def f(x: Any) -> Any:
        x += 1
        return np.sum(x**2)

    assert cr.derive(f, np.ones(3)).latex == r"\frac{\partial f}{\partial x} = 2 \left(\mathbf{1} + x\right)"


def test_sympy() -> None:
    sympy = pytest.importorskip("sympy")
    x = sympy.Symbol("x", real=True)
    found = cr.derive("x**3*exp(-x)", wrt="x").to_sympy()
    assert sympy.simplify(found.subs(dict.fromkeys(found.free_symbols, x)) - sympy.diff(x**3 * sympy.exp(-x), x)) == 0
    both = cr.derive("a*b**2", wrt=("a", "b")).to_sympy()
    assert isinstance(both, tuple)
    matrix = cr.derive("tr(A @ X)", wrt="X", shapes={"A": "n,m", "X": "m,n"}).to_sympy()
    assert str(matrix) == "A.T"


# --- pictures and pages -------------------------------------------------------------------------------------------------------


def three_layers() -> cr.Derivation:
    case = FUNCTIONS[4]
    return cr.derive(case.f, *case.make(np.random.default_rng(0)), wrt=case.wrt)


def test_the_picture_shows_values_and_sensitivities() -> None:
    d = three_layers()
    root = ET.fromstring(d.svg)
    assert root.tag.endswith("svg")
    text = " ".join(t for t in root.itertext() if t.strip())
    assert text.count("‖∂‖") >= 20
    for name in ("H", "Z", "P", "result"):
        assert name in text
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    assert 300 < width < 1000  # one column: it can be read without scrolling sideways
    assert height < 4000


def test_the_picture_of_a_formula_names_nothing_of_ours() -> None:
    d = cr.derive("mean((sigmoid(W @ x + b) - y)**2)", wrt="W", shapes={"W": "m,n", "x": "n", "b": "m", "y": "m"})
    words = set(re.findall(r"[A-Za-z]+", " ".join(ET.fromstring(d.svg).itertext())))
    assert {"W", "x", "b", "y", "square", "result"} <= words
    assert not words & {"val", "leaves", "env", "inner", "self", "functools", "py"}


def test_the_page_stands_alone_and_the_fragment_is_for_notebooks() -> None:
    d = three_layers()
    html = page(d)
    assert html.startswith("<!doctype html>")
    assert "&amp;=" not in html
    assert "$$" not in html
    assert html.count("<math") > 50
    assert html.count("<details>") == html.count("</details>") == 4
    assert "src=" not in html
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", html)
    fragment = d._repr_html_()
    assert f"$${escape(d.latex, quote=False)}$$" in fragment
    assert "<script" not in fragment + html


def test_names_cannot_smuggle_markup_into_the_page() -> None:
    f = eval(compile("lambda x: (x**2).sum()", "<script>alert(1)</script>", "eval"))
    f.__name__ = "<img src=x onerror=alert(1)>"
    html = page(cr.derive(f, np.ones(3)))
    assert "<img" not in html
    assert "<script" not in html


# --- errors -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "marked", "says"),
    [
        ("mean((X @ w - y)**2", "(", "never closed"),
        ("mean(X @ w - y))", ")", "never opened"),
        ("men((X @ w - y)**2)", "men", "Did you mean  mean ?"),
        ("mean((X @ w - y)^2)", "(X @ w - y)^2", r"Did you mean  mean\(\(X @ w - y\)\*\*2\) \?"),
        ("mean((X w - y)**2)", " w", "operator is missing"),
        ("mean((X @ y - w)**2)", "X @ y", r"X is \(n, d\), y is \(n,\)"),
        ("mean((X @ w - y +)**2)", None, "missing"),
        ("sum(X @ w, axis=3) + sum(y)", "sum(X @ w, axis=3)", "no axis 3"),
        ("sum(X @ w, axes=0) + sum(y)", "sum(X @ w, axes=0)", "unexpected keyword"),
        ("(X @ w).__class__ + y", "(X @ w).__class__", "no meaning"),
        ("open(X) + w + y", "open", "not a function"),
        ("[t for t in X] + w + y", "[t for t in X]", "no meaning"),
        ("X @ w - y + 1/0", "1/0", "Division by zero"),
        ("X @ w - y + 10**10**10", "10**10**10", "too large"),
        (r"\frac{1}{n \|X w - y\|^2", "{n", "never closed"),
        (r"\foo X w - y", r"\foo", "not understood"),
        (r"X X w - y", None, "operator is missing"),
        (r"\sum_k X w - y", r"\sum_k", "carries the index k"),
    ],
)
def test_errors_point_at_the_character(formula: str, marked: str | None, says: str) -> None:
    with pytest.raises(cr.errors.FormulaError, match=says) as caught:
        cr.derive(formula, wrt="w", shapes=REGRESSION)
    if marked is not None:
        lines = str(caught.value).splitlines()
        row = next(k for k, line in enumerate(lines) if re.fullmatch(r"\s*\^+\s*", line))
        start = lines[row].index("^") - len(re.match(r"\d+ \| ", lines[row - 1])[0])  # pyright: ignore[reportOptionalSubscript]
        assert formula[start:].startswith(marked)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"wrt": "v"}, "wrt names 'v', and the arguments are X, w, y"),
        ({"wrt": 7}, "wrt is 7"),
        ({"wrt": ()}, "it names an argument"),
        ({"wrt": None}, "it names an argument"),
        ({"wrt": ("w", "w")}, "wrt names w twice"),
        ({"wrt": "w", "layout": "rows"}, "layout is 'denominator' or 'numerator'"),
        ({"wrt": "w", "order": 3}, "order is 1 or 2"),
        ({"wrt": "w", "shapes": {**REGRESSION, "q": "n"}}, "shapes names q"),
        ({"wrt": "w", "shapes": {**REGRESSION, "X": "n;d"}}, "the shape of X is 'n;d'"),
        ({"wrt": "w", "shapes": {**REGRESSION, "X": "0,d"}}, "a size is 1 or more"),
        ({"wrt": "w", "shapes": {**REGRESSION, "X": 3.5}}, "the shape of X is 3.5"),
        ({"wrt": "w", "shapes": {**REGRESSION, "X": None}}, "the shape of X is None"),
    ],
)
def test_wrong_words_are_said_to_be_wrong(words: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        cr.derive("mean((X @ w - y)**2)", **{"shapes": REGRESSION, **words})


@pytest.mark.parametrize(
    ("f", "args", "error", "says"),
    [
        (lambda x: np.sum(x**2) if x[0] > 0 else np.sum(x), (np.ones(3),), cr.errors.ValueNeededError, "np.where"),
        (lambda x: float(x) ** 2, (1.5,), cr.errors.ValueNeededError, "float"),
        (lambda x: (x, x**2), (np.ones(3),), cr.errors.NoFormulaError, "returns 2 arrays"),
        (lambda x: cr.fori_loop(0, 3, lambda k, s: s * x, 1.0), (2.0,), cr.errors.NoFormulaError, "program of its own"),
        (
            lambda x: np.sum(np.random.default_rng().normal(size=3) * x),
            (np.ones(3),),
            cr.errors.NoFormulaError,
            "different results",
        ),
        (lambda x: np.sum(x), (np.ones(0),), ValueError, "x is empty"),
        (lambda x: np.sum(x**2), (np.arange(3),), cr.errors.IntegerArgumentError, "INTEGERS"),
        (lambda x: np.sum(np.log(-1 - x**2)), (np.ones(3),), cr.errors.NoFormulaError, "finite"),
    ],
)
def test_functions_without_a_formula(f: Any, args: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        cr.derive(f, *args)


def test_names_must_be_names() -> None:
    f = lambda x, y: np.sum(x * y)
    for names, says in ((("a b", "c"), "letters, digits"), (("x", "x"), "x twice"), (("x",), "1 names for 2 arguments")):
        with pytest.raises(ValueError, match=says):
            cr.derive(f, np.ones(3), np.ones(3), names=names)
    with pytest.raises(TypeError, match="example arguments, or shapes"):
        cr.derive(f)
    with pytest.raises(TypeError, match="shapes="):
        cr.derive("x**2", np.ones(3))
    with pytest.raises(TypeError, match="not int"):
        cr.derive(5)  # pyright: ignore[reportArgumentType]


def test_nothing_runs_but_formulas(tmp_path: Any) -> None:
    """A formula is no program: names of Python, attributes, calls of anything else are refused before anything is evaluated."""
    target = tmp_path / "made"
    for text in (
        f"__import__('os').mkdir('{target}')",
        f"open('{target}', 'w')",
        "().__class__.__bases__[0].__subclasses__()",
        "(lambda: x)()",
        "x.__init__.__globals__",
        "eval('x')",
        "np.load('file')",
        "x.tofile('file')",
        "f'{x}'",
        "(y := x)",
        "-" * 20_000 + "x",
        "(" * 500 + "x" + ")" * 500,
    ):
        with pytest.raises(cr.errors.FormulaError):
            cr.derive(text, wrt="x")
    assert not target.exists()
