"""What each stage of the line asks of the stores, and how many bytes come and go for that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from msgspec import structs

from bagline.app import App
from bagline.model.storage import StorageTarget
from bagline.model.workitem import WorkItem
from bagline.wiring import build_objects
from support.line import LineUnderTest
from support.proxy import Proxy, proxy_before

ELSEWHERE = "Elsewhere"


class Asked(NamedTuple):
    """Requests by kind (see Proxy), and bytes of both directions."""

    kinds: Counter[str]
    carried: int


@contextmanager
def through_proxy(line: LineUnderTest) -> Iterator[Proxy]:
    """The line's workers reach the store through the proxy; the test itself does not."""
    with proxy_before(line.settings.s3.endpoint) as proxy:
        objects = build_objects(structs.replace(line.settings.s3, endpoint=proxy.url))
        line.app = App(line.settings, replace(line.app.services, objects=objects))
        yield proxy
        objects.close()


@contextmanager
def second_provider(line: LineUnderTest) -> Iterator[Proxy]:
    """The second of the two preservation buckets is of another provider, behind a proxy."""
    with proxy_before(line.settings.s3.endpoint) as proxy:
        there = build_objects(structs.replace(line.settings.s3, endpoint=proxy.url))
        standard = line.settings.storage_option("Standard")
        here, other = standard.targets
        moved = StorageTarget(bucket=other.bucket, provider=ELSEWHERE, host="localhost")
        line.settings.storage_options = (structs.replace(standard, targets=(here, moved)),)
        services = replace(line.app.services, elsewhere={ELSEWHERE: there})
        line.app = App(line.settings, services)
        yield proxy
        there.close()


def asked_by_stage(line: LineUnderTest, item: WorkItem, *proxies: Proxy) -> dict[str, Asked]:
    """The item goes through the whole line, one stage after another."""
    found = {}
    for step in line.app.ingest_line:
        before, carried = _sum(proxies)
        with line.working(only=(step.name,)):
            if step.name == "cleanup":
                assert line.until_ended(item.id).status == "Success"
            else:
                line.until(
                    lambda at=step.work_stage: line.item(item.id).stage != at,
                    f"the end of {step.name}",
                    seconds=120,
                    item=item.id,
                )
        after, all_carried = _sum(proxies)
        found[step.name] = Asked(after - before, all_carried - carried)
    return found


def _sum(proxies: tuple[Proxy, ...]) -> Asked:
    kinds: Counter[str] = Counter()
    for proxy in proxies:
        kinds += proxy.kinds
    return Asked(kinds, sum(proxy.carried for proxy in proxies))
