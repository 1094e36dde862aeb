"""The fold: what stands, whatever the order between topics, what is poison, and what is forgotten."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import federation_cases as cases
import federation_scenes as scenes
from federation_cases import Hostile, plan_for, until
from tacit.learning.course import Course
from tacit.rounds import verify
from tacit.rounds.state import State
from tacit.rounds.types import Checked, Kind, OrderAction, OrderBody, Outcome, Place, RosterBody, VectorBody, header_at
from tacit.sim.federation import Federation
from tacit.wire import envelope


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Federation, bytes]]:
    """A finished run of three banks."""
    fed = cases.federation(tmp_path_factory.mktemp("fold"), 3, seed=1)
    run = fed.submit(plan_for(fed))
    fed.run(run, 300)
    yield fed, run
    fed.close()


def fold(fed: Federation, records: list[Checked], contracts: bool = True) -> State:
    """A reader's fold of some records."""
    state = State(fed.manifest, {cases.LABEL: cases.CONTRACT} if contracts else {})
    for record in records:
        state.apply(record)
    return state


def plain(state: State, run: bytes) -> tuple[object, ...]:
    """A run without its basis, which has no equality; the weights and forests stand for the course."""
    found = state.runs[run]
    assert found.course is not None
    return replace(found, course=None, terms=None), found.course.ensemble(), found.course.quality


def interleaved(records: list[Checked], seed: int) -> list[Checked]:
    """The same records, topics shuffled together, each in its order."""
    topics: dict[str, list[Checked]] = {}
    for record in records:
        topics.setdefault(record.topic, []).append(record)
    draw, found = random.Random(seed), []
    while topics:
        name = draw.choice(sorted(topics))
        found.append(topics[name].pop(0))
        if not topics[name]:
            del topics[name]
    return found


@pytest.mark.parametrize("seed", range(8))
def test_order_between_topics_changes_nothing(done: tuple[Federation, bytes], seed: int) -> None:
    """Every interleaving gives the same run, the same model and the same chains."""
    fed, run = done
    one, other = fold(fed, fed.records()), fold(fed, interleaved(fed.records(), seed))
    assert plain(one, run) == plain(other, run)
    assert one._banks == other._banks
    assert {bank: tail.head for bank, tail in one.tails.items()} == {
        bank: tail.head for bank, tail in other.tails.items()
    }


def test_a_repeat_of_everything_changes_nothing(done: tuple[Federation, bytes]) -> None:
    """A broker that replays all topics gets repeats, no evidence and no second run."""
    fed, run = done
    once, twice = fold(fed, fed.records()), fold(fed, fed.records() * 2)
    assert plain(once, run) == plain(twice, run)
    assert twice.equivocations == []
    assert set(twice.void) <= {"repeat", "lead", "run", "fence"}


def test_a_reader_without_the_contract_sees_the_run_end(done: tuple[Federation, bytes]) -> None:
    """Without the contract nothing of the questions is checked; OPEN, ROSTER and END stand, and nobody is stuck."""
    fed, run = done
    state = fold(fed, fed.records(), contracts=False)
    found = state.runs[run]
    assert found.terms is None
    assert "not at hand" in found.fault
    assert found.open is not None
    assert found.roster is not None
    assert found.end is not None
    assert (state.active, state.waiting, found.results) == (None, None, [])


def test_places_of_a_run(done: tuple[Federation, bytes]) -> None:
    """Each attempt is bound to its own round, slot, parent and query."""
    fed, run = done
    found = fold(fed, fed.records()).runs[run]
    places = [found.place(fed.manifest, attempt) for attempt in found.attempts]
    assert [place.slot for place in places] == [0, 1, 2]
    assert places[0].parent == b""
    assert places[2].parent == found.results[1].header.body
    assert len({cases.context(place) for place in places}) == 3
    assert found.banks == ("bank-0", "bank-1", "bank-2")
    assert found.quorum == 2
    assert found.attempt is None


def test_a_forgotten_run_keeps_who_took_part(done: tuple[Federation, bytes]) -> None:
    """Vectors go, JOINs and VERDICTs stay."""
    fed, run = done
    state = fold(fed, fed.records())
    assert list(state.answers(state.runs[run], Kind.RELEASE, 0))
    state.forget(run)
    assert list(state.answers(state.runs[run], Kind.RELEASE, 0)) == []
    assert len(list(state.answers(state.runs[run], Kind.JOIN))) == 3


@pytest.mark.parametrize("error", [ZeroDivisionError, OverflowError, ValueError, KeyError, IndexError, TypeError])
def test_a_poison_record_is_listed_once(
    done: tuple[Federation, bytes], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A record whose arithmetic breaks is void and listed; the fold goes on."""

    def breaks(*_: object) -> Course:
        raise error("poison")

    fed, run = done
    monkeypatch.setattr(Course, "advance", breaks)
    state = fold(fed, fed.records())
    assert state.void["poison"] == 1
    assert state.runs[run].results == []
    assert state.runs[run].open is not None


def test_memory_errors_are_not_poison(done: tuple[Federation, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on the machine must not decide what stands."""
    monkeypatch.setattr(Course, "advance", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        fold(done[0], done[0].records())


def test_one_run_at_a_time_in_plan_order(done: tuple[Federation, bytes]) -> None:
    """The first plan waits; a later one cannot be opened before it."""
    fed, run = done
    records = [record for record in fed.records() if record.header.kind in {Kind.PLAN, Kind.LEAD}]
    plan = next(record for record in records if record.header.kind is Kind.PLAN)
    state = fold(fed, [*records, plan])
    assert state.waiting is state.runs[run]
    assert state.active is None
    assert state.void["repeat"] == 1


def test_void_lists_are_bounded(done: tuple[Federation, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists stop growing; counters go on."""
    fed, _ = done
    monkeypatch.setattr("tacit.rounds.state.EVIDENCE_KEPT", 3)
    state = fold(fed, fed.records() * 2)
    assert len(state.void_records) == 3
    assert state.void.total() > 3


@pytest.mark.parametrize("kind", [Kind.ROSTER, Kind.QUERY, Kind.RESULT, Kind.END])
def test_a_record_of_another_context_is_void(done: tuple[Federation, bytes], kind: Kind) -> None:
    """The same body under another context stands nowhere."""
    fed, run = done
    records = []
    for record in fed.records():
        if record.header.kind is kind:
            record = replace(record, header=replace(record.header, context=bytes(32)))  # noqa: PLW2901
        records.append(record)
    state = fold(fed, records)
    assert state.void["context"] >= 1
    assert state.runs[run].end is None


def test_a_lead_must_name_the_one_in_force(done: tuple[Federation, bytes]) -> None:
    """A LEAD written without having seen the last one does not count."""
    fed, _ = done
    lead = next(record for record in fed.records() if record.header.kind is Kind.LEAD)
    stale = replace(lead, digest=b"s" * 32)
    state = fold(fed, [lead, stale])
    assert state.fence == lead.digest
    assert state.void["lead"] == 1


def test_other_kinds_and_epochs_are_void(done: tuple[Federation, bytes]) -> None:
    """Kinds of mode `distributed` and records under another epoch change nothing."""
    fed, _ = done
    opened = next(record for record in fed.records() if record.header.kind is Kind.OPEN)
    cohort = replace(opened, header=replace(opened.header, kind=Kind.COHORT))
    other = replace(opened, header=replace(opened.header, manifest=bytes(32)))
    state = fold(fed, [cohort, other])
    assert state.void == {"unknown": 1, "manifest": 1}


@pytest.mark.parametrize(("banks", "reason"), [((), "roster"), (("bank-1",), "roster"), (("bank-0", "bank-2"), "")])
def test_a_roster_needs_more_than_half(done: tuple[Federation, bytes], banks: tuple[str, ...], reason: str) -> None:
    """One bank of three is no federation, whoever writes it down; two are."""
    fed, run = done
    state = State(fed.manifest, {cases.LABEL: cases.CONTRACT})
    records = [record for record in fed.records() if record.topic == cases.CONTROL]
    rostered = next(number for number, record in enumerate(records) if record.header.kind is Kind.ROSTER)
    for record in records[:rostered]:
        state.apply(record)
    joins = records[rostered].body.joins  # type: ignore[union-attr]
    fewer = replace(records[rostered], body=RosterBody({bank: joins[bank] for bank in banks}))
    assert state.apply(fewer) is not bool(reason)
    assert (state.runs[run].roster is None, state.void["roster"]) == (bool(reason), int(bool(reason)))
    assert state.apply(records[rostered]) is bool(reason)


def test_the_seed_holds_nothing_that_a_leader_chooses(done: tuple[Federation, bytes]) -> None:
    """Another time or another order in ROSTER is another record, and leaves seed and question as they are."""
    fed, run = done
    seeds = set()
    for change in (0, 1, 2):
        state = State(fed.manifest, {cases.LABEL: cases.CONTRACT})
        for record in fed.records():
            if record.header.kind is Kind.ROSTER:
                entries = list(record.body.joins.items())  # type: ignore[union-attr]
                header = replace(record.header, create_time_ms=change)
                turned = RosterBody(dict(entries[change:] + entries[:change]))
                state.apply(replace(record, header=header, body=turned, digest=bytes([change]) * 32))
                break
            state.apply(record)
        course = state.runs[run].course
        assert course is not None
        seeds.add(course.seed)
    assert len(seeds) == 1


def revoke(fed: Federation, member: str, *signers: str) -> Checked:
    """The control topic's REVOKE of a member, as it is read."""
    body = cases.inner.sign_revoke("sim", member, {signer: fed._governance[signer] for signer in signers})
    header = header_at(Kind.ORDER, "aggregator", Place("sim", fed.manifest.digest), 0.0)
    sealed = envelope.seal(header, body, fed._keys["aggregator"])
    return envelope.open_record(cases.CONTROL, sealed.value, fed.keys)


def test_a_revocation_ends_the_open_run_and_bars_from_the_next(done: tuple[Federation, bytes]) -> None:
    """No further QUERY and no FINISHED stands; a run opened later has no place for the member."""
    fed, run = done
    control = [record for record in fed.records() if record.topic == cases.CONTROL]
    opened = next(number for number, record in enumerate(control) if record.header.kind is Kind.OPEN)
    order = revoke(fed, "bank-2", "bank-2")
    state = fold(fed, [*control[: opened + 1], order, order, *control[opened + 1 :]])
    assert state.runs[run].revoked == order
    assert state.runs[run].attempts == []
    assert (state.runs[run].end, state.void["repeat"]) == (None, 1)
    assert state.members(state.runs[run]) == {"bank-0", "bank-1", "bank-2"}
    before = fold(fed, [*control[:opened], order, *control[opened:]])
    assert before.runs[run].revoked is None
    assert before.members(before.runs[run]) == {"bank-0", "bank-1"}
    assert before.void["roster"] == 1


def test_a_finished_end_of_a_revoked_run_is_void(done: tuple[Federation, bytes]) -> None:
    """A leader that goes on all the same cannot make a model of it; records of a run that is over stay as they are."""
    fed, run = done
    control = [record for record in fed.records() if record.topic == cases.CONTROL]
    order = revoke(fed, "bank-1", "bank-0", "bank-1", "bank-2")
    state = fold(fed, [*control[:-1], order, control[-1]])
    assert control[-1].header.kind is Kind.END
    assert (state.runs[run].end, state.void["revoked"]) == (None, 1)
    over = fold(fed, [*fed.records(), order])
    assert over.runs[run].end == control[-1]
    assert not verify.check_run(over, over.runs[run])


def test_what_a_bank_says_after_its_own_revocation_does_not_count(done: tuple[Federation, bytes]) -> None:
    """Earlier records of its chain stand, later ones are void, other banks' orders on a bank's topic change nothing."""
    fed, run = done
    chain = [record for record in fed.records() if record.header.sender == "bank-1"]
    last = next(number for number, record in enumerate(chain) if record.header.kind is Kind.RELEASE)
    control = [record for record in fed.records() if record.topic == cases.CONTROL]
    state = fold(fed, [*control, *chain[: last + 1]])
    order = revoke(fed, "bank-1", "bank-1")
    head = state.tails["bank-1"].head
    header = replace(order.header, sender="bank-1", seq=head.seq + 1, previous=head.digest)
    own = replace(order, header=header, digest=b"o" * 32, topic=chain[0].topic)
    assert state.apply(own)
    assert state.resigned == {"bank-1"}
    later = replace(chain[last + 1], header=replace(chain[last + 1].header, seq=head.seq + 2, previous=b"o" * 32))
    assert not state.apply(later)
    assert state.void["revoked"] == 1
    assert state.answer("bank-1", run, Kind.JOIN) is not None


@pytest.mark.parametrize(("action", "member"), [(OrderAction.CANCEL, ""), (OrderAction.REVOKE, "bank-0")])
def test_other_orders_on_a_banks_topic_are_void(
    done: tuple[Federation, bytes], action: OrderAction, member: str
) -> None:
    """A bank cannot cancel a run or revoke another bank from its own topic, whatever the reader let through."""
    fed, _ = done
    chain = [record for record in fed.records() if record.header.sender == "bank-1"]
    order = OrderBody(action, b"", member, (("bank-0", bytes(64)),))
    state = State(fed.manifest, {cases.LABEL: cases.CONTRACT})
    assert not state.apply(replace(chain[0], header=replace(chain[0].header, kind=Kind.ORDER), body=order))
    assert (state.resigned, dict(state.void)) == (set(), {"order": 1})


class Writer:
    """A bank that signs what it likes, read by a fold."""

    def __init__(self, state: State, template: Checked) -> None:
        self.state, self.template, self.count = state, template, 0

    def write(self, run: bytes, slot: int, cells: int, kind: Kind = Kind.RELEASE) -> bool:
        """A vector at the end of the chain; whether it was kept."""
        self.count += 1
        head = self.state.tails["bank-1"].head
        header = replace(
            self.template.header, run=run, slot=slot, kind=kind, seq=head.seq + 1, previous=head.digest, body=b"b" * 32
        )
        body = VectorBody((7,) * cells)
        return self.state.apply(replace(self.template, header=header, body=body, digest=self.count.to_bytes(32, "big")))


@pytest.fixture
def writer(done: tuple[Federation, bytes]) -> Writer:
    """Bank-1 in front of a fold that has read the control topic alone."""
    fed, _ = done
    state = fold(fed, [record for record in fed.records() if record.topic == cases.CONTROL])
    template = next(r for r in fed.records() if r.header.kind is Kind.RELEASE and r.header.sender == "bank-1")
    return Writer(state, template)


def test_vectors_for_runs_that_do_not_exist_take_bounded_memory(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many cells, so many records, of each bank; what is beyond is void."""
    monkeypatch.setattr("tacit.rounds.state.EARLY_CELLS", 100)
    monkeypatch.setattr("tacit.rounds.state.EARLY_RECORDS", 5)
    kept = [writer.write(bytes([number]) * 32, 0, 40) for number in range(4)]
    assert kept == [True, True, False, False]
    kept = [writer.write(bytes([number]) * 32, 0, 1) for number in range(10, 15)]
    assert kept == [True, True, True, False, False]
    assert writer.state.void["early"] == 4
    assert writer.state._banks == {}


def test_slots_that_a_run_cannot_have_are_not_kept(writer: Writer, done: tuple[Federation, bytes]) -> None:
    """Three rounds, three slots."""
    cells = writer.state.runs[done[1]].terms.stages[2].cells  # type: ignore[union-attr]
    assert [writer.write(done[1], slot, cells) for slot in (2, 3, 2**40)] == [True, False, False]
    assert writer.state.void["slot"] == 2


def test_a_vector_of_no_question_s_length_stands_without_its_cells(
    writer: Writer, done: tuple[Federation, bytes]
) -> None:
    """It is the bank's first word for the slot: a better one later is a repeat or evidence, never an answer."""
    run = done[1]
    assert writer.write(run, 1, 4096)
    found = writer.state.answer("bank-1", run, Kind.RELEASE, 1)
    assert found is not None
    assert found.body == VectorBody(())
    assert not writer.write(run, 1, writer.state.runs[run].terms.stages[1].cells)  # type: ignore[union-attr]
    assert verify.releases(writer.state, writer.state.runs[run], 1) == {}


def test_early_records_count_once_the_plan_is_read(done: tuple[Federation, bytes]) -> None:
    """All bank topics first, control last: the same banks' records as in the log's order."""
    fed, run = done
    banks_first = sorted(fed.records(), key=lambda record: record.topic == cases.CONTROL)
    early, straight = fold(fed, banks_first), fold(fed, fed.records())
    assert early._banks == straight._banks
    assert not any(early._early.values())
    assert not verify.check_run(early, early.runs[run])


def test_an_unworkable_plan_is_ended_and_the_next_one_opened(tmp_path: Callable[..., object]) -> None:
    """A plan that does not fit the epoch gets END ABORTED(PLAN); even a ROSTER forged into it holds nobody."""
    fed = cases.federation(tmp_path, 2, seed=3)  # type: ignore[arg-type]
    broken = fed.submit(plan_for(fed, 1, window=replace(plan_for(fed).window, end=cases.dt.date(2300, 1, 1))))
    hostile, nodes, place = Hostile(fed), fed.nodes, cases.run_place(fed, broken)
    hostile.lead()
    hostile.write(Kind.OPEN, cases.OpenBody(broken), place)
    cases.without(fed, "aggregator-0")
    until(fed, lambda: len(cases.by_kind(fed, Kind.REFUSED)) == 2)
    hostile.write(Kind.ROSTER, RosterBody({"bank-0": scenes.DIGEST, "bank-1": scenes.DIGEST}), place)
    fed.nodes = nodes
    assert fed.audit().runs[broken].roster is not None
    after = fed.submit(plan_for(fed, 2))
    until(fed, lambda: fed.audit().runs[after].end is not None)
    ended = fed.audit().runs[broken].end
    assert ended is not None
    assert ended.body.outcome is Outcome.ABORTED  # type: ignore[union-attr]
    assert not cases.broken(fed, after) or fed.run(after, 20)
    fed.close()
