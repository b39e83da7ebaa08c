"""Ray as the engine: two nodes on this machine, one of which dies in the middle of its work."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ostro.agent.budget import Purse
from ostro.benchmarks.harness import evaluate
from ostro.benchmarks.orders import WorkOrder
from ostro.benchmarks.ray_engine import RayEngine
from ostro.benchmarks.results import InstanceResult
from tests.faults.batches import Silent, cheap_work, request_for

if TYPE_CHECKING:
    from ray._private.node import Node
    from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow

LIMIT_S = 120.0
NODES = "nodes.log"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.ERROR)
    yield made
    ray.shutdown()
    made.shutdown()  # type: ignore[no-untyped-call]  # Ray's own


def waiting_work(order: WorkOrder) -> InstanceResult:
    """Say on which node an order is, and do it once the test lets it go on; never on the node that is to die."""
    import ray

    gate = order.folder.parents[1]
    node = ray.get_runtime_context().get_node_id()
    with (gate / NODES).open("a") as log:
        log.write(f"{node}\n")
    while not (gate / "go").exists() or (gate / "go").read_text() == node:
        time.sleep(0.05)
    return cheap_work(Purse(None))(order)


def kill_once_both_work(cluster: Cluster, doomed: Node, folder: Path) -> None:
    """Kill a node when each of the two has an order, then let the orders go on."""
    deadline = time.monotonic() + LIMIT_S
    log = folder / NODES
    while time.monotonic() < deadline and (not log.exists() or len(set(log.read_text().split())) < 2):
        time.sleep(0.05)
    cluster.remove_node(doomed, allow_graceful=False)
    (folder / "go.new").write_text(doomed.node_id)
    (folder / "go.new").rename(folder / "go")


def test_batch_when_a_node_dies_in_the_middle_then_no_result_is_lost_or_doubled(
    cluster: Cluster, tmp_path: Path
) -> None:
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    killer = threading.Thread(target=kill_once_both_work, args=(cluster, doomed, tmp_path))
    killer.start()
    watcher = Silent()

    run, stopped = evaluate(request_for(tmp_path, 6), RayEngine(2), lambda _: waiting_work, watcher)
    killer.join()

    assert stopped == ""
    assert len(set((tmp_path / NODES).read_text().split())) == 2, "both nodes had work"
    assert len((tmp_path / NODES).read_text().split()) == 7, "the order of the dead node was begun again"
    assert [result.status for result in run.results].count("resolved") == 3
    assert sorted(result.instance_id for result in watcher.results) == sorted(run.instance_ids)
