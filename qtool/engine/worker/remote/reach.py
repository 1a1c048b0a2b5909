"""What remote control has of the worker."""

from __future__ import annotations

from collections.abc import Callable

from qtool.engine.broker import Adapter, WorkerInfo
from qtool.engine.value import Value
from qtool.engine.worker.catalogue import Catalogue
from qtool.engine.worker.claimer import Claimer
from qtool.engine.worker.floor import Floor
from qtool.engine.worker.health import Health
from qtool.engine.worker.options import WorkerOptions
from qtool.engine.worker.runners import Runners
from qtool.engine.worker.scale import Size
from qtool.engine.worker.served import Served


class Reach(Value, kw_only=True):
    """Its parts, as far as somebody outside has to do with them."""

    adapter: Adapter
    options: WorkerOptions
    floor: Floor
    health: Health
    claimer: Claimer
    runners: Runners
    size: Size
    served: Served
    catalogue: Catalogue
    describe: Callable[[], WorkerInfo]
    renew: Callable[[], object]
    """Have the heartbeat at once: what was just asked of the broker is heard then."""
    drain: Callable[[], object]
    """Begin to end."""
