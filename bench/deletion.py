"""A deletion of many files, each key asked for again, beside bare deletes of as many keys."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bagline.app import App
from bagline.config import load_settings
from bagline.lines.deletion.deleter import Deleter
from bagline.lines.deletion.deletion_job import DeletionJob
from bagline.logs import configure_logs
from bagline.model.deletion import DeletionPolicy, NewDeletion
from bagline.model.subject import item_subject
from bagline.model.workitem import STATUS_STARTED
from bagline.services.objects.base import Body, Target
from bagline.services.objects.connection import Connection, Endpoint
from bagline.services.registry.deletion_requests import DeletionRequests
from bagline.services.registry.users import INST_ADMIN, ApiUser
from bagline.wiring import build_users, open_database
from bagline.worker.progress import Progress
from bagline.worker.stage import Done
from bench.figures import Figure
from bench.fixity import keep_copies
from bench.measuring import Measured, measured, peak_mib
from bench.prefetch import Bench, bench_house

FILES, SIZE = 50_000, 4 * 1024
A_REQUEST, REQUESTS_AT_ONCE = 1_000, 8
BARE = "bare"
"""What begins the keys that nobody recorded."""


def run(*, long: bool = False) -> Iterator[Figure]:  # noqa: ARG001 (nothing is longer)
    configure_logs(level="error")
    with bench_house() as bench:
        keep_copies(bench.app, bench.institution.id, FILES, SIZE)
        _put_bare(bench.app)
        plain = _child(bench, "bare")
        ours = _child(bench, "deleted")
    yield Figure(
        f"deletion of {FILES:,} files",
        FILES / ours.seconds,
        "files/s",
        {"bare deletes": FILES / plain.seconds},
    )
    yield Figure("  seconds", ours.seconds, "s", {"bare deletes": plain.seconds})
    yield Figure("  of which asking for each key again", ours.facts["asking"], "s")
    yield Figure("  peak memory", peak_mib([ours]), "MiB", goal="200")


def _put_bare(app: App) -> None:
    bucket = app.settings.storage_option("Standard").targets[0].bucket
    bodies = (Body(Target(bucket, f"{BARE}-{uuid.uuid4()}"), bytes(SIZE)) for _ in range(FILES))
    app.services.objects.put_many(bodies)


def _child(bench: Bench, name: str) -> Measured:
    return measured([sys.executable, "-m", "bench.deletion", name, str(bench.folder)])


def deleted(app: App) -> dict[str, float]:
    """What two people agreed on: from the worker's first look to the certificate."""
    database = open_database(app.settings)
    institution = app.services.registry.institution("test.edu")
    assert institution is not None
    users = build_users(database)
    for email in ("ann@test.edu", "bob@test.edu"):
        users.add(email, INST_ADMIN, institution.id)
    people: dict[str, ApiUser] = {user.email: user for user in users.all()}
    requests = DeletionRequests(database, DeletionPolicy())
    wanted = NewDeletion(reason="A bench", objects=["test.edu/kept"])
    number = requests.ask(people["ann@test.edu"], wanted).id
    token = requests.review(people["bob@test.edu"], number).token
    (item,) = requests.approve(people["bob@test.edu"], number, token)[1]
    item.status = STATUS_STARTED
    item = app.services.registry.save_work_item(item)
    lease = app.services.state.take_lease(item_subject(item.id), owner="bench", seconds=3600)
    assert lease is not None
    asking = 0.0
    ask = app.services.objects.remain_many

    def timed(bucket: str, keys: list[str]) -> list[object]:
        nonlocal asking
        began = time.perf_counter()
        found = ask(bucket, keys)
        asking += time.perf_counter() - began
        return list(found)

    app.services.objects.remain_many = timed  # type: ignore[method-assign,assignment]
    job = DeletionJob(
        record=item,
        lease=lease,
        services=app.services,
        settings=app.settings,
        progress=Progress("deletion"),
    )
    began = time.perf_counter()
    outcome = Deleter().run(job)
    seconds = time.perf_counter() - began
    if not isinstance(outcome, Done):
        raise RuntimeError(f"it was not deleted: {outcome}")
    return {"seconds": seconds, "asking": asking}


def bare(app: App) -> dict[str, float]:
    """DeleteObjects alone."""
    s3 = app.settings.s3
    keys = (s3.access_key.reveal(), s3.secret_key.reveal())
    boto = Connection(Endpoint(s3.endpoint, *keys, allow_http=True)).boto
    bucket = app.settings.storage_option("Standard").targets[0].bucket
    names = [found.key for found in app.services.objects.list(bucket, BARE)]
    if len(names) != FILES:
        raise RuntimeError(f"{len(names)} of {FILES} keys are there")

    def delete(some: list[str]) -> None:
        wanted = {"Objects": [{"Key": key} for key in some], "Quiet": True}
        if boto.delete_objects(Bucket=bucket, Delete=wanted).get("Errors"):
            raise RuntimeError("some stay")

    requests = [names[at : at + A_REQUEST] for at in range(0, FILES, A_REQUEST)]
    began = time.perf_counter()
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        list(pool.map(delete, requests))
    return {"seconds": time.perf_counter() - began}


def main(name: str, folder: str) -> None:
    configure_logs(level="error")
    with App.open_running(load_settings(data_dir=Path(folder), environ=os.environ)) as app:
        assert app is not None
        print(json.dumps({"deleted": deleted, "bare": bare}[name](app)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
