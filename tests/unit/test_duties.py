"""Threads that live as long as their process: whatever is raised in them, they go on, and are
told of; and no thread of ours is made in another way."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from bagline import duty as duty_module
from bagline.duty import Duty, Pauses, failing_duties, idle_duties
from bagline.errors import Unreachable

SOURCE = Path(__file__).parents[2] / "src/bagline"
MADE_HERE = "duty.py"
WAITED_FOR = {"lines/ingest/prefetch/__init__.py": 1}
"""Modules whose threads are joined by whoever made them, before it goes on: how many."""
OF_ONE_SCAN = {"bagit/hashing/lanes.py": ["_Lane"]}
"""Threads that end with the scan they belong to; what is raised in them is raised where its
result is waited for."""
DROPPED = {"services/objects/relaying.py": 1}
"""Work given to a pool whose future is not kept: it hands its faults on by itself."""
TASKS = {
    "services/queue/nsq/connection.py": {"self._come()"},  # ends in a place, or closes
    "services/queue/nsq/reader.py": {
        "self._watch()",  # goes on after any fault
        "self._leave_when_ended()",  # the end of a subscription, not its life
    },
    "services/queue/nsq/nsqd.py": {"self._come()"},  # whatever it meets ends the connection
    "listening/sharing.py": {"asyncio.to_thread(self._work)"},  # awaited by all who ask
    "server/guarding.py": {"self._tell()"},  # made again by the next request
    "server/keyring.py": {"self._renew()"},  # awaited by all who ask
}
"""asyncio tasks, by module: what becomes of them when they fail is known."""
AWAITED = {"listening/sharing.py": 1, "server/guarding.py": 2}
"""Work given to a thread by an event loop, which waits for it."""


def until(wanted: Callable[[], object], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if wanted():
            return True
        time.sleep(0.01)
    return False


class Panic(BaseException):
    """As a library written in Rust raises it."""


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    stop = threading.Event()
    yield stop
    stop.set()


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty_module, "FIRST_PAUSE_SECONDS", 0.01)


FAULTS = [
    Unreachable("Redis at 127.0.0.1:1 does not answer"),
    OSError(28, "No space left on device"),
    ValueError("odd"),
    SystemExit(1),
    KeyboardInterrupt(),
    MemoryError(),
    Panic("called `Option::unwrap()` on a `None` value"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_duty_outlives_whatever_is_raised_in_it(
    fault: BaseException, stop: threading.Event
) -> None:
    done = 0

    def act() -> None:
        nonlocal done
        done += 1
        if done <= 2:
            raise fault

    duty = Duty("counting", act, stop=stop, every=0.01, longest_pause=0.02).start()
    assert until(lambda: done > 5)
    assert duty.runs
    assert not duty.fault


def test_a_duty_outlives_a_log_that_cannot_be_written(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __getattr__(self, name: str) -> Callable[..., None]:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(duty_module, "log", Full())
    seen: list[int] = []

    def act() -> None:
        seen.append(1)
        raise ValueError

    duty = Duty("unheard", act, stop=stop, every=0.01, longest_pause=0.02).start()
    assert until(lambda: len(seen) > 3)
    assert duty.runs


def test_one_act_that_is_a_whole_life_begins_again_until_it_returns() -> None:
    lives: list[int] = []

    def live() -> None:
        lives.append(1)
        if len(lives) < 3:
            raise ConnectionError("cut")

    duty = Duty("listening", live, longest_pause=0.02).start()
    assert duty.join(20)
    assert len(lives) == 3
    assert duty.runs  # its work was over: nothing to tell
    assert not [said for said in idle_duties() if "listening" in said]


def test_what_fails_is_told_while_it_fails(stop: threading.Event) -> None:
    broken = threading.Event()
    broken.set()

    def act() -> None:
        if broken.is_set():
            raise Unreachable("away")

    Duty("looking", act, stop=stop, every=0.01, longest_pause=0.02).start()
    assert until(lambda: ("looking", "Unreachable: away") in failing_duties())
    broken.clear()
    assert until(lambda: "looking" not in dict(failing_duties()))


def test_a_duty_that_died_or_hangs_is_told_as_idle(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duty_module, "OVERDUE_SECONDS", 0.05)
    Duty("hanging", lambda: stop.wait(20), stop=threading.Event(), every=1.0, at_once=True).start()
    assert until(lambda: "duty hanging hangs" in idle_duties())
    stop.set()
    monkeypatch.setattr(Duty, "_run", lambda self: None)  # as if its thread had been torn away
    dead = Duty("torn", lambda: None, every=1.0).start()
    try:
        assert until(lambda: "duty torn does not run" in idle_duties())
    finally:
        duty_module._started.remove(dead)


def test_a_fault_is_logged_with_the_duty_and_the_reason(stop: threading.Event) -> None:
    with structlog.testing.capture_logs() as lines:

        def act() -> None:
            raise Unreachable("away")

        Duty("telling", act, stop=stop, every=0.01).start()
        assert until(lambda: lines)
        stop.set()
    assert lines[0] == {
        "event": "duty_fault",
        "log_level": "warning",
        "duty": "telling",
        "reason": "away",
    }


def test_pauses_grow_to_a_bound_without_an_end_and_begin_anew_after_peace() -> None:
    now = 0.0
    pauses = Pauses(1.0, 15.0, peace_seconds=120.0, clock=lambda: now)
    found = []
    for _ in range(100):
        found.append(pauses.next())
        now += found[-1] + 5.0  # it lived for five seconds
    assert 0.75 <= found[0] <= 1.25
    assert found[2] > 2.0
    assert all(0.75 * 15 <= pause <= 1.25 * 15 for pause in found[5:])
    assert len({round(pause, 6) for pause in found[5:]}) > 50, "jitter"
    assert pauses.in_a_row == 100
    now += 130.0
    assert pauses.next() <= 1.25
    assert pauses.in_a_row == 1


# -- the source
MODULES = sorted(SOURCE.rglob("*.py"))
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


@each_module
def test_no_thread_is_made_but_by_a_duty_or_joined_by_its_maker(path: Path) -> None:
    module = str(path.relative_to(SOURCE))
    made = [call for call in calls(path) if name_of(call) in THREADS]
    awaited = [call for call in calls(path) if name_of(call) == "to_thread"]
    assert len(awaited) == AWAITED.get(module, 0)
    subclasses = [
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith("Thread") for base in node.bases)
    ]
    assert subclasses == OF_ONE_SCAN.get(module, [])
    if module == MADE_HERE:
        assert len(made) == 1
        return
    assert len(made) == WAITED_FOR.get(module, 0), "make it a Duty (bagline/duty.py)"
    if made:
        assert sum(name_of(call) == "join" for call in calls(path)) >= len(made)


THREADS = {"Thread", "Timer", "start_new_thread", "ThreadPool"}


@each_module
def test_no_task_of_an_event_loop_is_unknown_here(path: Path) -> None:
    module = str(path.relative_to(SOURCE))
    made = {
        ast.unparse(call.args[0])
        for call in calls(path)
        if name_of(call) in {"create_task", "ensure_future"}
    }
    assert made == TASKS.get(module, set())


@each_module
def test_what_a_pool_is_given_is_asked_for_its_result(path: Path) -> None:
    """A future that nobody looks at swallows its fault."""
    dropped = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and name_of(node.value) == "submit"
    ]
    assert len(dropped) == DROPPED.get(str(path.relative_to(SOURCE)), 0)


def test_the_duties_of_this_project_are_these() -> None:
    """A new one is added here when somebody has thought of what its fault means."""
    assert {duty for path in MODULES for duty in duty_names(path)} == {
        "engine-supervisor", "worker-watch", "heartbeat", "lookout", "signals", "parent",
        "stopper", "listener", "nsq", "reaper", "worker", "roll-call", "disk-watch", "pronom-idle",
        "RECONCILER", "BUCKET_READER", "SPOT_TESTER", "FIXITY", "producer.name",
        "f'{step.name}-{n}'",
    }  # fmt: skip


def duty_names(path: Path) -> Iterator[str]:
    """As they stand in the source."""
    for call in calls(path):
        if name_of(call) != "Duty":
            continue
        named = call.args[0]
        if isinstance(named, ast.Constant):
            yield str(named.value)
        elif ast.unparse(named) == "name":  # heartbeat: two in a row
            yield from ("heartbeat", "lookout")
        else:
            yield ast.unparse(named)
