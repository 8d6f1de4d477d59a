"""The line between processes: the roll call, values that all know, and what is said when somebody is missing. No JAX, one process."""

import json
import socket
import threading
import time

import pytest

import chainrule as cr
from chainrule.distributed import group as groups
from chainrule.distributed import line as lines
from chainrule.distributed.line import Follower, Leader, call, gather, listen
from chainrule.distributed.slurm import first_host, from_slurm

FACTS = {"host": "here", "processes": 3, "chainrule version": "1"}
Error = cr.errors.DistributedError


def concurrently(*functions):
    """The results or exceptions of functions that run at the same time."""
    out = [None] * len(functions)

    def run(k):
        try:
            out[k] = functions[k]()
        except Exception as e:
            out[k] = e

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(len(functions))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
        assert not t.is_alive(), "hangs"
    return out


@pytest.fixture
def server():
    s = listen(0)
    yield s
    s.close()


def port(server):
    return server.getsockname()[1]


@pytest.fixture
def three(server, monkeypatch):
    """The lines of three processes."""
    monkeypatch.setattr(lines, "ALIVE", 0.2)

    def lead():
        wires, hosts = gather(server, FACTS, 3, 10)
        for w in wires[1:]:
            w.send(go="there", hosts=hosts)
        return Leader(wires, hosts, 1.0)

    def follow(k):
        wire, said = call("127.0.0.1", port(server), k, {**FACTS, "host": f"h{k}"}, 10)
        assert said["go"] == "there"
        return Follower(wire, k, said["hosts"], 1.0)

    found = concurrently(lead, lambda: follow(1), lambda: follow(2))
    assert found[0].hosts == found[2].hosts == ["here", "h1", "h2"]
    for x in found:
        x.start()
    yield found
    for x in found:  # all before one of them sees that another is gone
        x.closing = True
    for x in found:
        x.close()


def test_all_know_the_values_of_all(three):
    for value in (1, [float("nan"), "x"], None):
        found = concurrently(*[lambda x=x, v=value: x.exchange("step", [x.id, v]) for x in three])
        assert json.dumps(found) == json.dumps([[[k, value] for k in range(3)]] * 3)


def test_a_process_that_is_gone_is_named_to_all_others_at_once(three):
    start = time.monotonic()
    found = concurrently(lambda: three[0].exchange("a", 0, 10), three[1].close, lambda: three[2].exchange("a", 0, 10))
    assert time.monotonic() - start < 2
    for e in (found[0], found[2]):
        assert isinstance(e, Error)
        assert e.seen == "Process 1 on h1 is gone."


def test_without_the_first_process_nobody_goes_on(three):
    said = []
    three[1].alone = said.append
    three[0].close()
    found = concurrently(*[lambda x=x: x.exchange("a", 0, 10) for x in three[1:]])
    assert [e.seen for e in found] == ["Process 0 on here is gone."] * 2
    assert said == ["Process 0 on here is gone."]


def test_before_the_first_process_ends_the_others_do(three):
    said = []
    for x in three[1:]:
        x.alone = said.append
    three[0].broken("the disk is full")
    found = concurrently(three[0].farewell, lambda: three[1].exchange("a", 0, 10))
    assert found[1].seen == "the disk is full"
    assert said == ["the disk is full"] * 2


def test_a_process_that_does_not_come_is_named(three):
    found = concurrently(lambda: three[0].exchange("step 7", 0, 0.3), lambda: three[2].exchange("step 7", 0, 0.3))
    assert [e.seen for e in found] == ["Process 1 on h1 has not come to 'step 7' within 0.3 s."] * 2


def test_processes_at_different_places_are_told(three):
    found = concurrently(
        lambda: three[0].exchange("a", 0, 5), lambda: three[1].exchange("b", 0, 5), lambda: three[2].exchange("a", 0, 5)
    )
    assert len({e.seen for e in found}) == 1
    assert "they run different programs" in found[0].seen


def test_what_one_says_is_wrong_all_know(three):
    three[2].broken("Process 2 on h2 cannot go on: OSError: disk full")
    found = concurrently(lambda: three[0].exchange("a", 0, 5), lambda: three[1].exchange("a", 0, 5))
    assert {e.seen for e in found} == {"Process 2 on h2 cannot go on: OSError: disk full"}


def test_a_process_that_is_silent_is_given_up(three, monkeypatch):
    """A halted process, or a cable that is cut: the connection stays, and nothing comes."""
    three[1].closing = True  # no more signs of life, and the connection is open
    monkeypatch.setattr(lines, "SILENT", 0.1)
    found = concurrently(lambda: three[0].exchange("a", 0, 20), lambda: three[2].exchange("a", 0, 20))
    assert [e.seen.split(" for ")[0] for e in found] == ["Process 1 on h1 has not been heard from"] * 2


def test_a_port_in_use(server):
    with pytest.raises(Error, match=f"Port {port(server)} of this machine cannot be listened on: Address already in use"):
        listen(port(server))


def test_a_coordinator_that_is_not_there(server):
    free = port(server)
    server.close()
    start = time.monotonic()
    with pytest.raises(Error, match=rf"Nobody answers at 127.0.0.1:{free} \(Connection refused\)"):
        call("127.0.0.1", free, 1, FACTS, 0.3)
    assert time.monotonic() - start < 3


def test_somebody_else_at_the_port(server):
    """A server that takes connections and knows nothing of us."""

    def other():
        s, _ = server.accept()
        s.recv(4096)
        s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        s.close()

    found = concurrently(other, lambda: call("127.0.0.1", port(server), 1, FACTS, 5))
    assert isinstance(found[1], Error)
    assert "does not know of this training" in found[1].seen


def test_a_process_that_does_not_call(server):
    found = concurrently(lambda: gather(server, FACTS, 4, 0.5), lambda: call("127.0.0.1", port(server), 2, FACTS, 5))
    assert [e.seen for e in found] == ["Process 1, 3 of 4 has not called within 0.5 s."] * 2


@pytest.mark.parametrize(
    ("facts", "id", "message"),
    [
        ({"chainrule version": "2"}, 1, "Process 1 on here has chainrule version 2, and process 0 has 1."),
        ({"processes": 4}, 1, "Process 1 on here has processes 4, and process 0 has 3."),
        ({}, 3, "Process 3 on here: the numbers of processes go from 0 to 2, and that of the coordinator is 0."),
        ({}, 0, "Process 0 on here: the numbers of processes go from 0 to 2, and that of the coordinator is 0."),
    ],
)
def test_a_process_that_is_not_like_the_others(server, facts, id, message):
    found = concurrently(lambda: gather(server, FACTS, 3, 5), lambda: call("127.0.0.1", port(server), id, {**FACTS, **facts}, 5))
    assert [e.seen for e in found] == [message] * 2


def test_two_processes_of_one_number(server):
    one = lambda: call("127.0.0.1", port(server), 1, FACTS, 5)
    found = concurrently(lambda: gather(server, FACTS, 3, 5), one, one)
    assert {e.seen for e in found} == {"Process 1 on here: another process has this number."}


def test_whoever_says_nothing_is_passed_over(server):
    with socket.create_connection(("127.0.0.1", port(server))) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        found = concurrently(lambda: gather(server, {**FACTS, "processes": 2}, 2, 8), lambda: joined(server))
    assert found[0][1] == ["here", "here"]
    found[0][0][1].close()
    found[1].close()


def joined(server):
    s = socket.create_connection(("127.0.0.1", port(server)))
    wire = lines.Wire(s)
    wire.send(hello=1, facts={**FACTS, "processes": 2})
    return wire


def test_what_slurm_says():
    env = {
        "SLURM_STEP_NODELIST": "node[007-010,12],login1",
        "SLURM_PROCID": "3",
        "SLURM_STEP_NUM_TASKS": "8",
        "SLURM_JOB_ID": "4097",
    }
    assert from_slurm(env, 41000) == {"coordinator": "node007:41001", "processes": 8, "process_id": 3}
    assert from_slurm({"SLURM_JOB_ID": "4097"}, 41000) == {}
    assert first_host("a1") == "a1"
    assert first_host("a1,a2") == "a1"
    assert first_host("rack[2-3]-gpu,b") == "rack2-gpu"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"processes": 2}, "coordinator and process_id must be given"),
        ({"coordinator": "here", "processes": 2, "process_id": 0}, "coordinator is 'host:port', not 'here'"),
        ({"coordinator": "here:0", "processes": 2, "process_id": 0}, "coordinator is 'host:port'"),
        ({"coordinator": "here:80", "processes": 2, "process_id": 2}, "2 of 2 does not"),
    ],
)
def test_arguments_that_cannot_be_meant(monkeypatch, given, message):
    for name in ("COORDINATOR", "PROCESSES", "PROCESS_ID"):
        monkeypatch.delenv(f"CHAINRULE_{name}", raising=False)
    with pytest.raises(ValueError, match=message):
        cr.distributed.initialize(**given)


def test_one_process_needs_nobody():
    cr.distributed.initialize(processes=1)
    assert (cr.distributed.process_count(), cr.distributed.process_id()) == (1, 0)
    assert cr.distributed.current().exchange("a", 5) == [5]


# --- what training sees of it -----------------------------------------------------------------------------------------------


@pytest.fixture
def ended(monkeypatch):
    """What is written when a process is ended, which happens in name only here."""
    said, over = [], threading.Event()

    def end(status):
        said.append(status)
        over.wait(20)

    monkeypatch.setattr(groups, "GRACE", 0.2)
    monkeypatch.setattr(lines, "FAREWELL", 0.1)
    monkeypatch.setattr(groups.os, "write", lambda fd, data: said.append(data.decode()))
    monkeypatch.setattr(groups.os, "_exit", end)
    yield said
    over.set()


def test_a_step_that_does_not_come_to_its_end_ends_the_process(three, ended):
    """The timeout of these lines is a second; what was reached is saved before."""
    group = groups.Group(three[0])
    group.rescue = lambda: ended.append("saved")
    with group.together("step 9"):
        until = time.monotonic() + 15
        while groups.FAULT not in ended and time.monotonic() < until:
            time.sleep(0.02)
    assert ended[0] == "saved"
    assert ended[1].startswith(
        "chainrule: Process 0 on here: step 9 has not come to its end within 1 s. Start all processes again"
    )
    assert ended[2] == groups.FAULT
    found = concurrently(lambda: three[2].exchange("a", 0, 5))
    assert "step 9 has not come to its end" in found[0].seen


def test_an_error_of_jax_is_explained_by_the_line(three, ended):
    group = groups.Group(three[0])
    check, three[0].check = three[0].check, lambda: None  # it dies while the step runs
    three[1].close()
    with pytest.raises(Error, match=r"Process 1 on h1 is gone\. It happened during step 3\."), group.together("step 3"):
        raise ValueError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer")
    three[0].check = check
    with pytest.raises(Error, match=r"Process 1 on h1 is gone\."), group.together("step 4"):
        pytest.fail("nothing is begun any more")


def test_an_error_of_its_own_is_told_to_the_others(three, ended):
    group = groups.Group(three[2])
    with pytest.raises(ValueError, match="out of memory"), group.together("step 3"):
        raise ValueError("out of memory")
    (found,) = concurrently(lambda: three[1].exchange("a", 0, 5))
    assert found.seen == "Process 2 on h2 cannot go on: ValueError: out of memory"
