"""Random landing histories and schedules (``oracle.histories``), played on a lake and compared with the oracle."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import event
from hypothesis import strategies as st

from stedi_assets import transforms
from stedi_assets.contracts import table as contract
from stedi_assets.reference import (
    ASSETS,
    COLUMNS,
)
from stedi_assets.settings import Policies
from stedi_assets.transforms import customers, pairs, readings
from stedi_assets_tests.kit.driven import (
    INPUTS,
    KEY,
    OTHER_KEY,
    POLICIES,
    DrivenLake,
    assert_right,
    settle,
    settle_in_any_order,
    settle_landing,
    shuffled,
)
from stedi_assets_tests.kit.memory import MemoryLake
from stedi_assets_tests.oracle.histories import (
    DAYS,
    History,
    histories,
    schedules,
)
from stedi_assets_tests.oracle.histories import Erasure as ErasureStep
from stedi_assets_tests.oracle.histories import Step as Scheduled


@dataclasses.dataclass(frozen=True)
class Play:
    """What is played.

    Args:
        history: what lands.
        steps: what is run meanwhile.
        final: the policies in the end.
        changing: whether policies and the key are others before.
        seed: of the choices that the schedule does not make.
        erasures: of whom, and when.
    """

    history: History
    steps: Sequence[Scheduled]
    final: Policies
    changing: bool
    seed: int
    erasures: Sequence[ErasureStep] = ()


@st.composite
def plays(draw: st.DrawFn, max_steps: int = 8) -> Play:
    history = draw(histories())
    steps = draw(schedules(history, max_steps))
    changing = draw(st.sampled_from((False, False, True)))
    return Play(history, steps, draw(st.sampled_from(POLICIES)), changing, draw(st.integers(0, 2**32)))


def play(lake: DrivenLake, this: Play) -> None:
    """Play a schedule, land and reconcile what is left, and compare with the oracle."""
    pick = random.Random(this.seed)
    arrived = 0
    left = list(this.erasures)
    for step in this.steps:
        # Somebody else's run, that has read before and commits after.
        days = this.history.days()
        slow = lake.begun(pick.choice(list(INPUTS)), [pick.choice(days)]) if days and pick.random() < 0.3 else None
        while left and left[0].after <= step.arrived:
            arrived = arrive_and_forget(lake, this.history, arrived, left.pop(0), pick)
        lake.arrive(this.history, step.arrived, arrived)
        arrived = step.arrived
        if this.changing:
            lake.configure(pick.choice(POLICIES), pick.choice((KEY, KEY, OTHER_KEY)))
        lake.run(step.tables, step.days(), step.fails_at, pick.randrange(4))
        if slow is not None:
            slow()
        if pick.random() < 0.2:
            # Reconciliation comes at any time, and gets done in part.
            for name, day in shuffled(lake.differing(), pick)[: pick.randrange(6)]:
                lake.make(name, [day])
    for one in left:
        arrived = arrive_and_forget(lake, this.history, arrived, one, pick)
    lake.arrive(this.history, None, arrived)
    lake.configure(this.final, KEY)
    settle_landing(lake, lake.run)

    expected = lake.expected()
    if pick.random() < 0.5:
        settle(lake, lake.run)
    else:
        settle_in_any_order(lake, expected, pick)
    names = COLUMNS if not isinstance(lake, MemoryLake) else ASSETS
    assert_right(lake, expected, names)

    # What is right stays so, and is not asked for again.
    lake.run(ASSETS, [pick.choice(this.history.days() or DAYS)])
    for name in pick.choices(ASSETS, k=3):
        days = sorted(lake.lakehouse.snapshot(contract(name)).days())
        lake.run([name], [pick.choice(days)])
    assert lake.landed() == {}
    assert lake.differing() == {}
    assert_right(lake, expected, names)


def arrive_and_forget(lake: DrivenLake, history: History, arrived: int, one: ErasureStep, pick: random.Random) -> int:
    """What comes before an erasure, and the erasure, while somebody else's run goes on; how many files are there."""
    lake.arrive(history, one.after, arrived)
    if one.settled:
        settle_landing(lake, lake.run)
    days = lake.lakehouse.snapshot(contract("customer_landing")).days()
    slow = lake.begun(pick.choice(list(INPUTS)), [pick.choice(sorted(days))]) if days else None
    dies_at = (pick.choice(ASSETS), pick.randrange(3)) if pick.random() < 0.5 else None
    proven = lake.forget(one, dies_at)
    if slow is not None:
        slow()
    event(f"erased, proven: {proven}, all had landed: {one.settled}")
    return one.after


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, but computed once for each of the last few frames."""
    known: dict[tuple[object, ...], tuple[Any, Any]] = {}

    def remembered(frame: Any, *also: str) -> Any:
        key = id(frame), *also
        if key not in known:
            if len(known) > 20:
                known.clear()
            known[key] = frame, function(frame, *also)
        return known[key][1]

    return remembered


consents = remembering(transforms.consents)


@contextlib.contextmanager
def quick_consents() -> Iterator[None]:
    """Compute who consents once per version of ``customer_landing``, not five times per run."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (transforms, customers, readings, pairs):
            patch.setattr(module, "consents", consents)
        yield
