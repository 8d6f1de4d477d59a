"""``chainrule train``: good tables are learned from, bad ones are answered, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from chainrule.cli import main, table
from chainrule.cli.predictor import load
from chainrule.cli.table import Wanted, fill, moments, standardise, survey
from chainrule.random import key

FRAMES = {
    name: f(as_frame=True).frame for name, f in (("diabetes", load_diabetes), ("wine", load_wine), ("cancer", load_breast_cancer))
}


@pytest.fixture
def csv(tmp_path):
    def write(frame, name="data.csv"):
        path = tmp_path / name
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        else:
            path.write_text(frame if isinstance(frame, str) else frame.to_csv(index=False))
        return path

    return write


def train(path, *args, target="target"):
    return main(["train", str(path), "--target", target, "--out", str(path.parent / "out"), *args])


# --- good tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "args", "metric", "least"),
    [
        ("diabetes", ["--model", "linear"], "r2", 0.35),
        ("diabetes", ["--model", "linear", "--loss", "huber", "--optimizer", "momentum"], "r2", 0.35),
        ("wine", ["--model", "logistic"], "accuracy", 0.9),
        ("cancer", ["--model", "svm", "--optimizer", "sgd", "--epochs", "20"], "accuracy", 0.93),
        ("wine", ["--model", "svm", "--loss", "squared_hinge"], "accuracy", 0.9),
        ("cancer", ["--model", "mlp", "--hidden", "8", "--epochs", "10"], "accuracy", 0.93),
    ],
)
def test_learns_and_writes_everything(csv, capsys, data, args, metric, least):
    path = csv(FRAMES[data])
    assert train(path, "--json", *args) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["test"][metric] > least
    out = path.parent / "out"
    assert json.loads((out / "metrics.json").read_text()) == found
    page = (out / "index.html").read_text()
    assert page.count("<svg") >= 1
    assert "Convergence" in page
    assert f"{found['metrics']['test'][metric]:.4g}" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    history = pd.read_csv(out / "history.csv")
    assert list(history.columns) == ["epoch", "loss", "val_loss"]
    assert history.loss.tolist() == found["history"]["loss"]
    assert not (out / ".data").exists()


def test_the_saved_model_predicts_from_a_table_as_it_was(csv, capsys):
    frame = FRAMES["wine"].assign(
        colour=np.where(FRAMES["wine"]["hue"] > 1, "red", "white"), kind=lambda f: "k" + f.target.astype(str)
    )
    path = csv(frame.drop(columns="target"))
    assert train(path, "--model", "logistic", "--encode", "--json", target="kind") == 0
    found = json.loads(capsys.readouterr().out)
    model = load(path.parent / "out")
    right = np.mean(model.predict(frame) == frame.kind)
    held, shown = found["metrics"]["test"]["accuracy"], found["metrics"]["train"]["accuracy"]
    np.testing.assert_allclose(right, (36 * held + 142 * shown) / 178)
    assert model.classes == ["k0", "k1", "k2"]


def test_amounts_come_back_in_their_own_units(csv, capsys):
    x = np.linspace(-1, 1, 300)
    path = csv(pd.DataFrame({"x": 50 + 10 * x, "y": 1e6 + 3e5 * x}))
    assert train(path, "--model", "linear", "--epochs", "200", "--learning-rate", "0.02", "--json", target="y") == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["test"]["rmse"] < 100
    np.testing.assert_allclose(load(path.parent / "out").predict(pd.DataFrame({"x": [50.0]})), [1e6], rtol=1e-4)


def test_convex_training_is_measured_against_the_minimum(csv, capsys):
    path = csv(FRAMES["diabetes"])
    assert train(path, "--model", "linear", "--epochs", "300", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["theorem"] == "convex"  # its smallest curvature is too small to help in 300 steps
    page = (path.parent / "out" / "index.html").read_text()
    assert "What the theorem assumes" in page
    assert "svg" in page[page.index("What the theorem assumes") - 40_000 :]
    found = printed["convergence"]
    assert found["convex in the parameters"] == "convex"
    assert -1e-12 <= found["gap"] < 0.01
    frame = FRAMES["diabetes"]
    assert found["largest curvature L"] > 2  # twice the largest eigenvalue of a correlation matrix of ten columns
    assert found["least value found"] > 0.4
    assert found["variance of the gradient"] > 0
    assert found["objective at the end"] == pytest.approx(found["least value found"] + found["gap"], rel=1e-12)
    assert len(frame) == 442


def test_parquet_is_read_like_csv(csv):
    a, b = (survey(Wanted(csv(FRAMES["wine"], name), "target")) for name in ("a.csv", "b.parquet"))
    assert a.names == b.names
    parts = [
        fill(Wanted(csv(FRAMES["wine"], n), "target"), a, 0.25, key(1), csv("x").parent / "s") for n in ("a.csv", "b.parquet")
    ]
    np.testing.assert_array_equal(parts[0][0].x, parts[1][0].x)


def test_other_separators(csv):
    path = csv(FRAMES["wine"].to_csv(index=False, sep=";"))
    assert survey(Wanted(path, "target")).rows == 178


def test_chunks_and_files_hold_the_same_rows(csv, monkeypatch, tmp_path):
    """Read 7 rows at a time into files: every row once, on one side or the other, and scaled like all at once."""
    frame = FRAMES["diabetes"].iloc[:100].copy()
    frame.iloc[3:9, 0] = np.nan
    w = Wanted(csv(frame), "target", impute=True)
    monkeypatch.setattr(table, "ROWS", 7)
    monkeypatch.setattr(table, "IN_MEMORY", 0)
    s = survey(w)
    assert (s.rows, s.features[0].missing) == (100, 6)
    train_rows, test_rows = fill(w, s, 0.3, key(0), tmp_path / "scratch")
    assert isinstance(train_rows.x, np.memmap)
    assert (len(train_rows.y), len(test_rows.y)) == (70, 30)
    both = np.concatenate([np.column_stack([p.x, p.y]) for p in (train_rows, test_rows)])
    expected = frame.to_numpy()
    order = lambda a: a[np.lexsort(np.nan_to_num(a, nan=9.0).T)]
    np.testing.assert_allclose(order(both), order(expected))
    raw = np.array(train_rows.x)
    mean, size = moments(train_rows.x)
    np.testing.assert_allclose(mean, np.nanmean(raw, 0))
    np.testing.assert_allclose(size, np.nanstd(raw, 0))
    standardise(train_rows.x, mean, size)
    assert not np.isnan(train_rows.x).any()
    np.testing.assert_allclose(np.mean(train_rows.x, 0), 0, atol=1e-12)


# --- bad tables ------------------------------------------------------------------------------------------------------------------

WORDS = "a,b,y\n1,red,0\n2,blue,1\n3,red,0\n4,red,1\n5,blue,1\n6,red,0\n"


@pytest.mark.parametrize(
    ("text", "args", "message"),
    [
        (WORDS, ["--target", "Y"], "has no column 'Y'; did you mean y?"),
        (WORDS, ["--target", "zzz"], "has no column 'zzz'; there are a, b, y"),
        (WORDS, [], "these columns hold text: b (such as 'red'). Turn them into numbers with --encode"),
        (WORDS, ["--drop", "c"], "--drop: "),
        (WORDS, ["--drop", "y"], "--drop y: this is the target"),
        ("a,y\n1,0\n,1\n3,0\n4,1\n", [], "values are missing in a (1 of 4). Fill them with --impute mean"),
        ("a,y\n1,0\n2,\n3,1\n", [], "the target y is missing in 1 of 3 rows"),
        ("a,y\n1,0\ninf,1\n3,1\n", [], "infinite numbers: a (1)"),
        ("a,y\n1,5\n2,5\n3,5\n", ["--model", "logistic"], "the target y has one value only, 5"),
        ("a,y\n1,u\n2,v\n3,u\n", ["--model", "linear"], "the target y is text (such as 'u'), and this model predicts numbers"),
        ("a,y\n1,0.5\n2,1.5\n3,2.5\n", ["--model", "svm"], "not whole (such as 0.5), so they are amounts"),
        ("a,a,y\n1,2,0\n3,4,1\n", [], "more than one column called a: rename"),
        ("a,y,y\n1,2,0\n3,4,1\n", [], "more than one column called y: rename"),
        ("a;b;y\n1;0,5;0\n2;1,5;1\n", [], "b (such as '0,5'). These are numbers with a comma: write them with a point"),
        ("a,b,y\n1,7,0\n2,8,1\n3,oops,0\n", [], "these columns hold text: b (such as 'oops')"),
        ('"a;b;c",y\n1,5\n2,5\n', [], "the target y has one value only"),
        ("a,y\n1e300,0.5\n-1e300,1.5\n3e300,2.5\n4,3.5\n", ["--test-size", "0.3"], "numbers of more than about 1e150"),
        ("a,y\n", [], "has no rows below its header"),
        ("", [], "is empty"),
        ("y\n1\n2\n", [], "has no column besides the target"),
        ("a,y\n1,2\n1,2,3,4\n5,6\n", [], "is no table: Expected 2 fields in line 3, saw 4"),
        ("a,y\n,0\n,1\n", [], "these columns are empty: a"),
        ("a,y\n1,0\n2,1\n", ["--test-size", "0.1"], "leave none to test with"),
        (WORDS, ["--loss", "msee"], "--loss: there is no 'msee'; there are mse, mae"),
        (WORDS, ["--model", "linear", "--loss", "hinge"], "--model linear predicts numbers; its losses are mse"),
        (WORDS, ["--epochs", "0"], "--epochs must be 1 or more"),
        (WORDS, ["--hidden", "8,x"], "--hidden is a list of sizes"),
        (WORDS, ["--test-size", "1"], "--test-size must be between 0 and 1"),
        (WORDS, ["--learning-rate", "-1"], "--learning-rate must be above 0"),
        (WORDS, ["--activation", "relo"], "--activation: there is no 'relo'"),
    ],
)
def test_bad_input_is_answered_in_one_line_and_writes_nothing(csv, capsys, text, args, message):
    path = csv(text)
    given = [] if "--target" in args else ["--target", "y"]
    assert main(["train", str(path), *given, "--out", str(path.parent / "out"), *args]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("chainrule: ")
    assert err.count("\n") == 1
    out = path.parent / "out"
    assert not out.exists() or not list(out.iterdir())


def test_parquet_with_decimals_and_with_one_name_twice(tmp_path, capsys):
    import decimal

    import pyarrow as pa
    from pyarrow import parquet

    numbers = pa.array([decimal.Decimal(k) / 4 for k in range(20)])
    y = pa.array([k % 7 + 0.5 for k in range(20)])
    out = ["--target", "y", "--out", str(tmp_path / "out"), "--epochs", "1", "--model", "linear"]
    parquet.write_table(pa.table({"a": numbers, "y": y}), tmp_path / "d.parquet")
    assert main(["train", str(tmp_path / "d.parquet"), *out]) == 0
    parquet.write_table(pa.Table.from_arrays([numbers, numbers, y], names=["a", "a", "y"]), tmp_path / "t.parquet")
    assert main(["train", str(tmp_path / "t.parquet"), *out]) == 2
    assert "more than one column called a" in capsys.readouterr().err


def test_files_that_are_none(tmp_path, capsys):
    binary = tmp_path / "x.csv"
    binary.write_bytes(bytes(range(256)) * 10)
    other = tmp_path / "x.parquet"
    other.write_bytes(b"nothing of the kind")
    latin = tmp_path / "l.csv"
    latin.write_bytes("a,y\n1,caf\xe9\n2,b\n".encode("latin-1"))
    for path, message in (
        (tmp_path / "no.csv", "there is no file"),
        (tmp_path, "is a folder"),
        (binary, "no text"),
        (other, "is no Parquet file"),
        (latin, "is no text in UTF-8"),
    ):
        assert main(["train", str(path), "--target", "y", "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_numbers_and_text_in_one_column_far_apart(csv, capsys, monkeypatch):
    monkeypatch.setattr(table, "ROWS", 2)
    assert train(csv("a,y\n1,0\n2,1\n3,0\n4,1\nn/a?,0\n6,1\n"), "--encode", target="y") == 2
    assert "hold both numbers and text: a (such as 'n/a?')" in capsys.readouterr().err


def test_too_many_texts_are_an_identifier(csv, capsys):
    rows = "\n".join(f"id{k},{k % 2}" for k in range(150))
    assert train(csv(f"name,y\n{rows}\n"), "--encode", target="y") == 2
    assert "more than 100 different texts in name" in capsys.readouterr().err


def test_encoding_and_imputing_on_request(csv, capsys):
    rows = [f"{'' if k % 7 == 0 else k % 5},{'' if k % 11 == 0 else ['red', 'blue'][k % 2]},{k % 2}" for k in range(200)]
    path = csv("a,b,y\n" + "\n".join(rows) + "\n")
    assert train(path, "--model", "logistic", "--encode", "--impute", "mean", "--json", target="y") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["features"] == 4
    assert found["metrics"]["test"]["accuracy"] > 0.8
    assert json.loads((path.parent / "out" / "model.json").read_text())["names"] == ["a", "b=blue", "b=red", "b=(missing)"]


# --- going wrong, and going on ------------------------------------------------------------------------------------------------------


def test_divergence_keeps_what_was_trained(csv, capsys):
    path = csv(FRAMES["diabetes"])
    assert train(path, "--model", "linear", "--optimizer", "sgd", "--learning-rate", "5", "--epochs", "200") == 1
    assert "Try a smaller --learning-rate than 5" in capsys.readouterr().err
    assert (path.parent / "out" / "index.html").exists()


def test_resumed_is_as_if_never_interrupted(csv, capsys):
    path = csv(FRAMES["wine"])
    found = []
    for args in (["--epochs", "3"], ["--epochs", "8", "--resume"], ["--epochs", "8"]):
        assert train(path, "--model", "logistic", "--json", *args) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[1]["history"] == found[2]["history"]
    assert found[1]["metrics"] == found[2]["metrics"]
    assert train(path, "--model", "logistic", "--epochs", "9", "--resume", "--batch-size", "7") == 2
    assert "--resume: The checkpoint was made with batch_size 32, and this training has 7" in capsys.readouterr().err


def test_interrupted_in_a_process_of_its_own_and_resumed(csv):
    path = csv(FRAMES["cancer"])
    command = [sys.executable, "-m", "chainrule", "train", str(path), "--target", "target", "--model", "logistic", "--out"]
    out = path.parent / "out"
    with subprocess.Popen([*command, str(out), "--epochs", "4000"], stderr=subprocess.PIPE, text=True) as p:
        deadline = time.monotonic() + 60
        while not list(out.glob("checkpoints/*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(p.pid, signal.SIGINT)
        assert p.stderr is not None
        said = p.stderr.read()
        assert p.wait(60) == 130, said
    assert "Go on with --resume" in said
    assert list((out / "checkpoints").glob("*.json"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    """Three million rows of five columns, 120 MB as numbers: the process stays below what two files' worth would need."""
    rng = np.random.default_rng(0)
    path = tmp_path / "large.csv"
    for k in range(30):
        x = rng.normal(size=(100_000, 5)).round(4)
        pd.DataFrame(x, columns=list("abcde")).assign(y=x.sum(1)).to_csv(path, mode="a", header=k == 0, index=False)
    script = (
        "import resource, sys; from chainrule.cli import main\n"
        f"code = main(['train', {str(path)!r}, '--target', 'y', '--model', 'linear', '--epochs', '1', '--out', {str(tmp_path / 'out')!r}])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 1000
