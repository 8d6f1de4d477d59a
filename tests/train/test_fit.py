"""`fit`: the same numbers as a loop written by hand, on every kind of data, and clear ends."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import chainrule as cr
from chainrule.train import checkpoint
from chainrule.train.data import Arrays
from chainrule.train.pace import Pace

KEY = cr.random.key(3)


@pytest.fixture
def data(rng):
    x = rng.normal(size=(50, 3))
    return x, x @ np.array([[1.0], [-2.0], [0.5]]) + 0.1 * rng.normal(size=(50, 1))


def linear(n_in=3, n_out=1, dtype=np.float64):
    return cr.nn.Dense(n_in, n_out, key=cr.random.key(0), dtype=dtype)


def by_hand(model, loss, x, y, rule, epochs, size):
    """The loop as anyone would write it."""
    state, losses, order_key = rule.init(model), [], cr.random.fold_in(KEY, 0)
    for epoch in range(epochs):
        order = cr.random.permutation(cr.random.fold_in(order_key, epoch), len(x))
        seen = 0.0
        for low in range(0, len(x), size):
            rows = order[low : low + size]
            value, grads = cr.value_and_grad(lambda m, rows=rows: loss(y[rows], m(x[rows])))(model)
            model, state = rule.step(model, grads, state)
            seen += value * len(rows)
        losses.append(seen / len(x))
    return model, np.array(losses)


@pytest.mark.parametrize("size", [50, 10, 16, 64])
def test_equals_the_loop_written_by_hand(data, size):
    x, y = data
    fit = cr.fit(linear(), cr.losses.mse, (x, y), cr.optim.adam(0.05), epochs=4, batch_size=size, key=KEY)
    model, losses = by_hand(linear(), cr.losses.mse, x, y, cr.optim.adam(0.05), 4, size)
    np.testing.assert_allclose(fit.history.loss, losses, rtol=1e-12)
    np.testing.assert_allclose(fit.model.weight, model.weight, rtol=1e-10)
    assert fit.report.steps == len(fit.history.steps) == 4 * -(-50 // size)
    assert fit.report.examples == 200


@pytest.mark.parametrize(("size", "count"), [(5, 4), (8, 3), (16, 2), (7, 7), (3, 5)])
def test_accumulated_micro_batches_are_one_large_batch(data, size, count):
    """50 examples: groups that come out even, ragged last groups, and ragged last micro-batches."""
    whole = cr.fit(linear(), cr.losses.mse, data, cr.optim.momentum(0.05), epochs=3, batch_size=size * count, key=KEY)
    parts = cr.fit(linear(), cr.losses.mse, data, cr.optim.momentum(0.05), epochs=3, batch_size=size, accumulate=count, key=KEY)
    assert whole.report.steps == parts.report.steps
    np.testing.assert_allclose(parts.history.steps, whole.history.steps, rtol=1e-12)
    np.testing.assert_allclose(parts.model.weight, whole.model.weight, rtol=1e-10)


def test_every_way_to_write_the_loss_is_the_same_training(data):
    losses = {
        "row": cr.losses.mse,
        "outputs": lambda y_true, y_pred: np.mean((y_pred - y_true) ** 2),
        "model": lambda model, x, y: np.mean((model(x) - y) ** 2),
        "key": lambda model, x, y, key: np.mean((model(x) - y) ** 2),
        "named": lambda model, x, y, *, key, training: np.mean((model(x) - y) ** 2),
    }
    found = {k: cr.fit(linear(), f, data, cr.optim.sgd(0.1), epochs=2, key=KEY).history.loss for k, f in losses.items()}
    for name, loss in found.items():
        np.testing.assert_allclose(loss, found["row"], rtol=1e-13, err_msg=name)


def test_models_of_plain_arrays_and_with_apply(data):
    x, y = data
    params = {"w": np.zeros((3, 1)), "b": 0.0, "n": 3, "name": "line"}
    apply = lambda p, x: x @ p["w"] + p["b"]
    fit = cr.fit(params, cr.losses.mse, (x, y), cr.optim.sgd(0.1), epochs=30, key=KEY, apply=apply)
    assert fit.history.loss[-1] < 0.05 < fit.history.loss[0]
    assert (fit.model["n"], fit.model["name"]) == (3, "line")
    assert params["w"].sum() == 0
    direct = cr.fit(params, lambda p, x, y: np.mean((apply(p, x) - y) ** 2), (x, y), cr.optim.sgd(0.1), epochs=30, key=KEY)
    np.testing.assert_allclose(direct.model["w"], fit.model["w"], rtol=1e-10)


def test_the_users_model_is_left_alone(data):
    model = linear()
    before = model.weight.copy()
    cr.fit(model, cr.losses.mse, data, cr.optim.sgd(0.1), epochs=2)
    np.testing.assert_array_equal(model.weight, before)


def test_float32_stays_float32(data):
    fit = cr.fit(linear(dtype=np.float32), cr.losses.mse, data, cr.optim.adam(0.01), epochs=2, key=KEY)
    assert fit.model.weight.dtype == np.float32


def test_statistics_are_measured_and_not_learned(data):
    x, y = data
    a, b = cr.random.split(cr.random.key(0))
    net = cr.nn.Sequential(cr.nn.Dense(3, 4, key=a), cr.nn.BatchNorm(4), np.tanh, cr.nn.Dense(4, 1, key=b))
    rule = cr.optim.sgd(0.05)
    fit = cr.fit(net, cr.losses.mse, (x, y), rule, epochs=1, batch_size=50, shuffle=False, accumulate=1, key=KEY)
    _, after = net(x, training=True, key=KEY)
    np.testing.assert_allclose(fit.model.layers[1].mean, after.layers[1].mean, rtol=1e-12)
    np.testing.assert_allclose(fit.model.layers[1].variance, after.layers[1].variance, rtol=1e-12)
    assert np.any(fit.model.layers[1].gamma != net.layers[1].gamma)


def test_dropout_gets_a_new_key_in_every_step():
    x, y = np.ones((8, 64)), np.zeros((8, 64))
    net = cr.nn.Sequential(cr.nn.Dropout(0.5), cr.nn.Dense(64, 64, key=KEY))
    fit = cr.fit(net, cr.losses.mse, (x, y), cr.optim.sgd(0.0), epochs=4, batch_size=4, key=KEY)
    assert len(set(fit.history.steps.tolist())) == 8


# --- data -----------------------------------------------------------------------------------------------------------------


def test_arrays_lists_dicts_and_pairs_agree(data):
    x, y = data
    fits = [
        cr.fit(linear(), cr.losses.mse, d, cr.optim.sgd(0.1), epochs=2, key=KEY)
        for d in [(x, y), {"x": x, "y": y}, (x.tolist(), y.tolist()), (np.asfortranarray(x), y)]
    ]
    assert len({tuple(f.history.loss) for f in fits}) == 1
    named = {"a": x, "b": x}
    two = lambda m, batch, y: np.mean((m(batch["a"]) + 0 * batch["b"].sum() - y) ** 2)
    np.testing.assert_allclose(
        cr.fit(linear(), two, (named, y), cr.optim.sgd(0.1), epochs=2, key=KEY).history.loss, fits[0].history.loss, rtol=1e-12
    )
    alone = cr.fit(np.zeros(3), lambda m, x: np.mean((x - m) ** 2), x, cr.optim.sgd(0.5), epochs=20, batch_size=50, key=KEY)
    np.testing.assert_allclose(alone.model, x.mean(0), atol=1e-3)


def test_batches_from_outside(data):
    x, y = data
    batches = [(x[k : k + 8], y[k : k + 8]) for k in range(0, 50, 8)]
    arrays = cr.fit(linear(), cr.losses.mse, (x, y), cr.optim.sgd(0.1), epochs=3, batch_size=8, shuffle=False, key=KEY)
    for stream in (batches, lambda epoch: iter(batches)):
        fit = cr.fit(linear(), cr.losses.mse, stream, cr.optim.sgd(0.1), epochs=3, key=KEY)
        np.testing.assert_allclose(fit.history.steps, arrays.history.steps, rtol=1e-12)
    once = cr.fit(linear(), cr.losses.mse, iter(batches), cr.optim.sgd(0.1), epochs=1, key=KEY)
    np.testing.assert_allclose(once.history.steps, arrays.history.steps[:7], rtol=1e-12)
    with pytest.raises(ValueError, match="can be run through once"):
        cr.fit(linear(), cr.losses.mse, iter(batches), cr.optim.sgd(0.1), epochs=2, key=KEY)
    grouped = cr.fit(linear(), cr.losses.mse, batches, cr.optim.sgd(0.1), epochs=2, accumulate=3, key=KEY)
    large = cr.fit(linear(), cr.losses.mse, (x, y), cr.optim.sgd(0.1), epochs=2, batch_size=24, shuffle=False, key=KEY)
    np.testing.assert_allclose(grouped.history.steps, large.history.steps, rtol=1e-12)


def test_arrays_on_disk(tmp_path, data, monkeypatch):
    """Windows far smaller than the array: every row is read once per epoch, and windows are all that is in memory."""
    monkeypatch.setattr("chainrule.train.data.WINDOW", 512)
    monkeypatch.setattr("chainrule.train.data.BLOCK", 8)
    x = np.arange(150.0).reshape(50, 3) / 100
    np.save(tmp_path / "x.npy", x)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = Arrays.of((stored, data[1]), None)
    assert source.disk
    order = source.order(KEY, True)
    assert sorted(order) == list(range(50))
    assert list(order) != sorted(order)
    pieces = list(source.pieces(order, 4, 1, 0, lambda left: left))
    assert max(p.local()[0][0].nbytes for p in pieces) <= 512
    rows = [data[0][g] for p in pieces for data, runs in [p.local()] for g in runs]
    np.testing.assert_array_equal(np.concatenate([r.reshape(-1, 3) for r in rows]), x[order])
    fit = cr.fit(linear(), cr.losses.mse, (stored, data[1]), cr.optim.sgd(0.1), epochs=3, batch_size=4, key=KEY, shuffle=False)
    memory = cr.fit(linear(), cr.losses.mse, (x, data[1]), cr.optim.sgd(0.1), epochs=3, batch_size=4, key=KEY, shuffle=False)
    np.testing.assert_allclose(fit.history.steps, memory.history.steps, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": (np.ones((5, 3)), np.ones((4, 1)))}, cr.errors.ShapeError, "x has 5, y has 4"),
        ({"data": (np.ones((0, 3)), np.ones((0, 1)))}, cr.errors.ShapeError, "no rows"),
        ({"data": (np.array([["a"]]), np.ones((1, 1)))}, cr.errors.DtypeError, "text must be encoded"),
        ({"data": (np.ones((5, 3)), 1.0)}, cr.errors.ShapeError, "y is one number"),
        ({"data": np.ones((5, 3))}, TypeError, r"the data must be a pair \(x, y\)"),
        ({"batch_size": 0}, ValueError, "batch_size is a whole number"),
        ({"epochs": -1}, ValueError, "epochs is a whole number"),
        ({"validation": 1.5}, ValueError, "a share of the examples between 0 and 1, not 1.5"),
        ({"validation": 0.001}, ValueError, "leaves none on one side"),
        ({"loss": lambda a: a}, TypeError, r"must take \(y_true, y_pred\), \(model, x, y\)"),
        ({"model": {"n": 3}}, cr.errors.TreeError, "nothing to learn"),
        ({"model": {"w": np.ones(3)}}, TypeError, "cannot be called"),
        ({"early_stopping": 0}, ValueError, "patience"),
        ({"early_stopping": cr.EarlyStopping(monitor="val_loss")}, ValueError, "will have no 'val_loss'"),
        ({"checkpoint_every": 1.5}, ValueError, "checkpoint_every"),
        ({"metrics": ["accuracy"]}, TypeError, "a metric is a function"),
    ],
)
def test_what_is_wrong_is_said(data, change, error, message):
    given = {"model": linear(), "loss": cr.losses.mse, "data": data, "optimizer": cr.optim.sgd(0.1), **change}
    with pytest.raises(error, match=message):
        cr.fit(**given)


def test_sparse_data_is_refused_by_name(data):
    from scipy import sparse

    with pytest.raises(TypeError, match=r"x is a sparse matrix.*toarray"):
        cr.fit(linear(), cr.losses.mse, (sparse.csr_matrix(data[0]), data[1]), cr.optim.sgd(0.1))


# --- validation, early stopping, callbacks ------------------------------------------------------------------------------------


def test_validation_is_the_loss_of_the_model_after_the_epoch(data):
    x, y = data
    fit = cr.fit(
        linear(), cr.losses.mse, (x[:30], y[:30]), cr.optim.sgd(0.1), epochs=3, batch_size=8, key=KEY,
        validation=(x[30:], y[30:]), metrics={"worst": lambda t, p: np.max(np.abs(t - p))},
    )  # fmt: skip
    out = fit.model(x[30:])
    np.testing.assert_allclose(fit.history.val_loss[-1], np.mean((out - y[30:]) ** 2), rtol=1e-12)
    np.testing.assert_allclose(fit.history.val_worst[-1], np.max(np.abs(out - y[30:])), rtol=1e-12)


def test_validation_part_is_held_out():
    x = np.arange(40.0)[:, None]
    seen = []
    net = lambda m, x, y: np.mean((m * x - y) ** 2)
    fit = cr.fit(
        np.array(0.0), net, (x, x), cr.optim.sgd(0.0), epochs=1, validation=0.25, key=KEY, callbacks=lambda m: seen.append(m.step)
    )
    assert fit.report.examples == 30
    order = cr.random.permutation(cr.random.fold_in(KEY, 2), 40)
    np.testing.assert_allclose(fit.history.val_loss[0], np.mean(x[order[:10]] ** 2), rtol=1e-12)
    np.testing.assert_allclose(fit.history.loss[0], np.mean(x[order[10:]] ** 2), rtol=1e-12)
    assert seen == [1]


def test_metrics_without_validation_are_those_of_the_training_data(data):
    fit = cr.fit(linear(), cr.losses.mse, data, cr.optim.sgd(0.1), epochs=2, batch_size=8, key=KEY, metrics=[cr.losses.mae])
    np.testing.assert_allclose(fit.history.mae[-1], np.mean(np.abs(fit.model(data[0]) - data[1])), rtol=1e-12)


def test_early_stopping_restores_the_best(data):
    x, y = data
    rate = lambda k: np.where(k < 12, 0.1, -0.05)  # after six epochs of two steps it climbs
    fit = cr.fit(
        linear(),
        cr.losses.mse,
        (x, y),
        cr.optim.sgd(rate),
        epochs=50,
        batch_size=25,
        key=KEY,
        early_stopping=3,
        validation=(x, y),
    )
    assert fit.stopped == "early"
    assert fit.report.best_epoch == 6
    assert fit.report.epochs == 9
    np.testing.assert_allclose(np.mean((fit.model(x) - y) ** 2), fit.history.val_loss.min(), rtol=1e-12)
    last = cr.EarlyStopping(3, restore_best=False)
    kept = cr.fit(
        linear(),
        cr.losses.mse,
        (x, y),
        cr.optim.sgd(rate),
        epochs=50,
        batch_size=25,
        key=KEY,
        early_stopping=last,
        validation=(x, y),
    )
    np.testing.assert_allclose(np.mean((kept.model(x) - y) ** 2), kept.history.val_loss[-1], rtol=1e-12)


def test_callbacks_see_and_stop(data):
    seen = []

    def look(m):
        seen.append((m.epoch, m.step, len(m.history), m.model.weight.copy()))
        return m.epoch == 3

    fit = cr.fit(linear(), cr.losses.mse, data, cr.optim.sgd(0.1), epochs=10, batch_size=25, key=KEY, callbacks=[look])
    assert fit.stopped == "callback"
    assert [s[:3] for s in seen] == [(1, 2, 1), (2, 4, 2), (3, 6, 3)]
    np.testing.assert_array_equal(seen[-1][3], fit.model.weight)


def test_history_as_table_and_columns(data):
    fit = cr.fit(linear(), cr.losses.mse, data, cr.optim.sgd(0.1), epochs=50, key=KEY)
    lines = str(fit.history).splitlines()
    assert lines[0].split() == ["epoch", "loss"]
    assert lines[1].split() == ["1", f"{fit.history.loss[0]:.6g}"]
    assert lines[-1].split() == ["50", f"{fit.history['loss'][-1]:.6g}"]
    assert len(lines) == 21
    with pytest.raises(AttributeError, match="has no 'val_loss'"):
        fit.history.val_loss
    assert "50 epochs, 100 steps, 4 parameters" in str(fit)


# --- NaN and Ctrl-C -----------------------------------------------------------------------------------------------------------


def test_nan_names_step_and_equation_and_keeps_the_last_good_state(tmp_path):
    x = np.linspace(1.0, 2.0, 40)
    loss = lambda m, x, y: np.mean((np.log(m * x) - y) ** 2)
    down = cr.optim.sgd(lambda k: np.where(k < 5, 1e-3, 1e3))
    with pytest.raises(cr.errors.DivergedError, match=r"(?s)Step 6 \(epoch 2\) makes NaN.*log made NaN in 8 of 8") as caught:
        cr.fit(np.array(1.0), loss, (x, -x), down, epochs=9, batch_size=8, key=KEY, checkpoint=tmp_path)
    e = caught.value
    assert e.step == 6
    assert e.fit.stopped == "diverged"
    assert len(e.fit.history.steps) == 6
    assert np.isfinite(e.fit.history.steps).all()
    assert float(e.fit.model) < 0  # what step 5 made of it: finite, and outside the domain of the logarithm
    assert isinstance(e, cr.errors.NonFiniteError)
    assert checkpoint.load(tmp_path).facts["step"] == 6


def test_nan_in_the_derivative_is_named():
    x = np.array([[4.0], [0.0]])
    loss = lambda m, x, y: np.mean(np.sqrt(m * x) * 0 + m)  # at 0 the root's slope is infinite, times zero
    with pytest.raises(cr.errors.DivergedError, match=r"(?s)Step 0 .epoch 1. makes NaN.*"):
        cr.fit(np.array(1.0), loss, (x, x), cr.optim.sgd(0.1), epochs=1, key=KEY)


def test_nan_in_the_data_is_told():
    x = np.array([[1.0], [np.nan], [2.0]])
    with pytest.raises(cr.errors.DivergedError, match="Step 0"):
        cr.fit(np.array(1.0), lambda m, x, y: np.mean((m * x - y) ** 2), (x, x), cr.optim.sgd(0.1), epochs=1, key=KEY)


def test_interruption_leaves_a_usable_fit_and_checkpoint(tmp_path, data):
    def press(m):
        if m.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    given = (cr.losses.mse, data, cr.optim.sgd(0.1))
    fit = cr.fit(linear(), *given, epochs=1000, batch_size=8, key=KEY, callbacks=press, checkpoint=tmp_path, checkpoint_every=100)
    assert fit.stopped == "interrupted"
    assert len(fit.history.loss) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    rest = cr.fit(linear(), *given, epochs=6, batch_size=8, key=KEY, checkpoint=tmp_path)
    through = cr.fit(linear(), *given, epochs=6, batch_size=8, key=KEY)
    np.testing.assert_array_equal(rest.history.steps, through.history.steps)
    np.testing.assert_array_equal(rest.model.weight, through.model.weight)


def test_trains_in_a_thread(data):
    found = []
    worker = threading.Thread(target=lambda: found.append(cr.fit(linear(), cr.losses.mse, data, cr.optim.sgd(0.1), epochs=2)))
    worker.start()
    worker.join(60)
    assert found[0].stopped == "finished"


# --- pace and progress -------------------------------------------------------------------------------------------------------


def test_cutting_an_epoch_into_runs_changes_no_bit(monkeypatch):
    x = np.random.default_rng(0).normal(size=(300, 3))
    y = x[:, :1]
    found = []
    for length in (1, 7, 64, 1000):
        monkeypatch.setattr(Pace, "ask", lambda self, left, n=length: min(left, n))
        found.append(cr.fit(linear(), cr.losses.mse, (x, y), cr.optim.adam(0.01), epochs=2, batch_size=4, key=KEY))
    for fit in found[1:]:
        np.testing.assert_array_equal(fit.history.steps, found[0].history.steps)
        np.testing.assert_array_equal(fit.model.weight, found[0].model.weight)


def test_pace_uses_few_lengths_and_short_runs():
    pace, lengths = Pace(), set()
    for _ in range(3):
        pace.total = left = 1000
        while left:
            n = pace.ask(left)
            assert 1 <= n <= left
            lengths.add(n)
            pace.took(n, n * 0.003)
            left -= n
    assert len(lengths) <= 4
    assert max(lengths) * 0.003 <= 0.3


def test_the_bar_takes_at_most_two_hundredths_of_the_time():
    import io

    from rich.console import Console

    from chainrule.train.progress import Bar

    bar = Bar(10, Console(file=io.StringIO(), force_terminal=True))
    start = time.perf_counter()
    drawn = 0
    while time.perf_counter() - start < 1.5:
        before = bar.spent
        bar.tell(3, 0.5, 0.1)
        drawn += bar.spent != before
    bar.close()
    assert 2 <= drawn <= 15
    assert bar.spent <= 0.02 * 1.5 + 0.02  # the first drawing is not yet known to be slow


def test_progress_bar_is_shown_where_asked_for_and_hidden_without_a_terminal(data, capfd):
    quiet = cr.fit(linear(), cr.losses.mse, data, cr.optim.sgd(0.1), epochs=2, key=KEY)
    assert capfd.readouterr().err == ""
    shown = cr.fit(linear(), cr.losses.mse, data, cr.optim.sgd(0.1), epochs=2, key=KEY, progress=True)
    np.testing.assert_array_equal(quiet.history.loss, shown.history.loss)
