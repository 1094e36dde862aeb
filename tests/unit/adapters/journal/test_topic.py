"""The own topic against the journal: backups, clones, forks and lost topics are noticed; both exits lead out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from journal_cases import (
    ACCOUNT,
    BUCKET_CAP,
    LIFETIME_CAP,
    OTHER_RUN,
    RUN,
    Bank,
    checked,
    open_journal,
    reservation,
)
from tacit.adapters.journal import (
    EVERY,
    LEFT,
    BudgetExceededError,
    JournalError,
    Reservation,
    ResumePoint,
    RunClosedError,
    RunState,
    Secret,
    Verdict,
)
from tacit.rounds.chain import chain
from tacit.rounds.types import Kind, ResumeBody


def verdict(bank: Bank) -> Verdict:
    """What the bank's topic says now."""
    return bank.journal.check_topic(bank.topic)


def restored(bank: Bank, path: Path) -> Bank:
    """The bank on a backup of now."""
    bank.journal.backup(path)
    return Bank(open_journal(path), bank.topic, bank.composed)


def fresh(bank: Bank, path: Path) -> Bank:
    """The bank after its disk was lost."""
    return Bank(open_journal(path), bank.topic, bank.composed)


def test_an_empty_journal_and_topic_agree(bank: Bank) -> None:
    """The first start of a bank."""
    assert verdict(bank) is Verdict.OK
    assert bank.journal.judge_topic([]).reason == ""


def test_an_honest_bank_is_fine_at_every_step(bank: Bank) -> None:
    """Sent, unsent, repeated on the topic: all is well."""
    bank.start()
    assert verdict(bank) is Verdict.OK
    bank.send()
    bank.join()
    assert verdict(bank) is Verdict.OK
    bank.send()
    bank.topic.extend(list(bank.topic))
    assert verdict(bank) is Verdict.OK


def test_sent_but_not_marked_is_fine(bank: Bank) -> None:
    """Killed between append and mark: the record is on the topic and still in the queue."""
    stored = bank.start()
    bank.topic.append(bank.composed[stored.digest])
    assert verdict(bank) is Verdict.OK
    bank.send()
    assert (verdict(bank), len(bank.topic)) == (Verdict.OK, 2)


@pytest.mark.parametrize(
    "later",
    [Bank.start, Bank.spend, lambda bank: bank.journal.record(Kind.DEAL, RUN, None, bank.compose(Kind.DEAL))],
    ids=["start", "spend", "deal"],
)
def test_a_backup_is_behind_as_soon_as_one_record_follows(
    bank: Bank, tmp_path: Path, later: Callable[[Bank], object]
) -> None:
    """Taken in the middle of a run: whatever was sent since shows it."""
    old = restored(bank.ready(), tmp_path / "backup.sqlite")
    assert verdict(old) is Verdict.OK
    later(bank)
    bank.send()
    report = old.journal.judge_topic(bank.topic)
    assert report.verdict is Verdict.BEHIND
    assert "record 3" in report.reason
    assert "tacit ledger rebuild" in report.reason
    assert verdict(bank) is Verdict.OK


@pytest.mark.parametrize("moment", ["before", "middle", "after"])
def test_a_backup_restored_around_a_run_never_spends(bank: Bank, tmp_path: Path, moment: str) -> None:
    """Before, in the middle of, or after a run: it is behind, or the run is closed to it."""
    bank.start()
    bank.send()
    copies = {"before": restored(bank, tmp_path / "before.sqlite")}
    bank.join()
    bank.spend(0)
    bank.send()
    copies["middle"] = restored(bank, tmp_path / "middle.sqlite")
    bank.spend(1)
    bank.send()
    bank.journal.finish(RUN, LEFT)
    copies["after"] = restored(bank, tmp_path / "after.sqlite")
    old = copies[moment]
    assert verdict(old) is (Verdict.OK if moment == "after" else Verdict.BEHIND)
    with pytest.raises(RunClosedError):
        old.spend(2)


def test_a_restored_bank_sits_out_the_open_run(bank: Bank, tmp_path: Path) -> None:
    """It is out of it for ever, pays the full reservation, and may join the next."""
    bank.ready()
    bank.journal.accept(3, bytes(32))
    bank.spend(0)
    bank.send()
    old = restored(bank, tmp_path / "backup.sqlite")
    assert (old.journal.state(RUN), bank.journal.state(RUN)) == (RunState.LEFT, RunState.OPEN)
    assert old.journal.ledger().lifetime.charged_nano == 500
    assert (old.journal.accepted(), old.journal.sample_key()) == ((3, bytes(32)), bank.journal.sample_key())
    assert old.join(OTHER_RUN, 100).seq == 4
    assert old.journal.verify() == []


def test_a_backup_holds_no_secret_and_no_vector(bank: Bank, tmp_path: Path) -> None:
    """Neither in a table nor anywhere in the file; the bank itself keeps them."""
    secret = b"a secret key that never leaves the bank's disk"
    bank.journal.reserve(reservation(), bank.compose(Kind.JOIN), [Secret(0, secret)])
    bank.spend(0)
    release = bank.journal.release(RUN, 0)
    assert release is not None
    path = tmp_path / "backup.sqlite"
    bank.journal.backup(path)
    content = path.read_bytes()
    assert (secret in content, release.values.tobytes() in content) == (False, False)
    assert bank.journal.secrets(RUN)[0].sk == secret
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


def test_a_backup_overwrites_nothing(bank: Bank, tmp_path: Path) -> None:
    """An older backup stays."""
    path = tmp_path / "backup.sqlite"
    path.write_text("older")
    with pytest.raises(JournalError, match="exists already"):
        bank.journal.backup(path)
    assert path.read_text() == "older"


def test_the_start_that_is_first_wins(bank: Bank, tmp_path: Path) -> None:
    """Two trainers by mistake: the log decides, the loser stops, the winner ignores the void START."""
    bank.ready()
    clone = bank.copy(tmp_path / "clone.sqlite")
    bank.start()
    clone.start()
    bank.send()
    clone.send()
    assert (verdict(bank), verdict(clone)) == (Verdict.OK, Verdict.CLONED)
    assert "copy" in clone.journal.judge_topic(bank.topic).reason
    bank.spend(0)
    bank.send()
    assert (verdict(bank), verdict(clone)) == (Verdict.OK, Verdict.CLONED)


def test_a_clone_that_did_not_start_yet_is_behind(bank: Bank, tmp_path: Path) -> None:
    """It reads the other's START before it writes its own."""
    clone = bank.ready().copy(tmp_path / "clone.sqlite")
    bank.start()
    bank.send()
    assert verdict(clone) is Verdict.BEHIND


def test_more_than_a_start_off_the_chain_is_a_clone(bank: Bank, tmp_path: Path) -> None:
    """A copy that went on writing stops the winner, too."""
    bank.ready()
    clone = bank.copy(tmp_path / "clone.sqlite")
    bank.start()
    bank.send()
    clone.spend(0)
    clone.send()
    report = bank.journal.judge_topic(bank.topic)
    assert report.verdict is Verdict.CLONED
    assert "RELEASE" in report.reason


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_topic_that_lost_its_end_is_truncated(bank: Bank, kept: int) -> None:
    """Emptied or cut: what was seen is there no more."""
    bank.ready()
    bank.start()
    bank.send()
    report = bank.journal.judge_topic(bank.topic[:kept])
    assert report.verdict is Verdict.TRUNCATED
    assert "tacit ledger resume" in report.reason


def test_a_topic_with_a_hole_is_truncated(bank: Bank) -> None:
    """Also when nothing behind the hole was marked as seen."""
    bank.start()
    bank.send()
    for stored in (bank.join(), bank.spend(0), bank.spend(1)):
        bank.topic.append(bank.composed[stored.digest])
    del bank.topic[1]
    assert verdict(bank) is Verdict.TRUNCATED


def test_a_trimmed_topic_is_fine(bank: Bank) -> None:
    """Its front was exported and removed; the rest still leads to the newest record."""
    bank.ready()
    for slot in range(3):
        bank.spend(slot)
    bank.send()
    for cut in range(1, len(bank.topic)):
        assert bank.journal.check_topic(bank.topic[cut:]) is Verdict.OK


def test_a_trimmed_topic_still_shows_a_backup(bank: Bank, tmp_path: Path) -> None:
    """The journal holds none of the records that are left."""
    old = restored(bank.ready(), tmp_path / "backup.sqlite")
    bank.spend(0)
    bank.send()
    assert old.journal.check_topic(bank.topic[2:]) is Verdict.BEHIND


def test_a_lost_journal_is_behind(bank: Bank, tmp_path: Path) -> None:
    """A fresh file cannot pass for a new bank."""
    bank.ready()
    lost = fresh(bank, tmp_path / "fresh.sqlite")
    assert verdict(lost) is Verdict.BEHIND


def test_a_named_record_that_is_missing_is_behind(bank: Bank) -> None:
    """ROSTER, COHORT and SURVIVORS name own records; the topic may hide them, the control topic shows them."""
    bank.ready()
    known = bank.topic[-1].digest
    assert bank.journal.check_topic(bank.topic, [known]) is Verdict.OK
    assert bank.journal.check_topic(bank.topic, [known, bytes(32)]) is Verdict.BEHIND


def test_resume_leads_out_of_a_truncated_topic(bank: Bank) -> None:
    """Nothing is charged, the chain goes on, unsent records are void."""
    bank.ready()
    bank.spend(0)
    bank.send()
    bank.spend(1)
    bank.topic = bank.topic[:1]
    charged = bank.journal.ledger()
    stored = bank.journal.resume(bank.topic, bank.compose_resume)
    assert (stored.seq, verdict(bank), bank.journal.unsent()) == (5, Verdict.OK, [stored])
    bank.send()
    bank.start()
    bank.send()
    assert (verdict(bank), bank.journal.ledger()) == (Verdict.OK, charged)
    assert [record.header.seq for record in chain(bank.topic).records] == [1, 5, 6]


def test_resume_says_where_both_ends_were(bank: Bank) -> None:
    """The governance key signs journal and topic positions."""
    bank.ready()
    last = bank.topic[-1]
    del bank.topic[1:]
    stored = bank.journal.resume(bank.topic, bank.compose_resume)
    body = bank.composed[stored.digest].body
    assert isinstance(body, ResumeBody)
    assert (body.journal_seq, body.journal_digest) == (2, last.digest)
    assert (body.topic_seq, body.topic_digest, body.rebuilt) == (1, bank.topic[0].digest, False)
    assert bank.composed[stored.digest].header.previous == last.digest


def test_resume_leads_out_of_an_emptied_topic(bank: Bank) -> None:
    """The topic was moved to another cluster."""
    bank.ready()
    bank.topic.clear()
    assert verdict(bank) is Verdict.TRUNCATED
    bank.journal.resume(bank.topic, bank.compose_resume)
    bank.send()
    assert verdict(bank) is Verdict.OK


def test_resume_waits_through_a_crash(bank: Bank, path: Path) -> None:
    """Stored, not sent, restarted: the check lets the stored RESUME go out."""
    bank.ready()
    bank.topic.clear()
    bank.journal.resume(bank.topic, bank.compose_resume)
    bank.journal.close()
    bank.journal = open_journal(path)
    assert verdict(bank) is Verdict.OK
    bank.send()
    assert verdict(bank) is Verdict.OK


def test_resume_is_not_enough_for_a_backup_or_a_clone(bank: Bank, tmp_path: Path) -> None:
    """Records that the journal lacks may be spends."""
    old = restored(bank.ready(), tmp_path / "backup.sqlite")
    clone = bank.copy(tmp_path / "clone.sqlite")
    bank.start()
    bank.send()
    for other in (old, clone):
        with pytest.raises(JournalError, match="not enough"):
            other.journal.resume(bank.topic, other.compose_resume)
    clone.start()
    clone.send()
    with pytest.raises(JournalError, match="cloned"):
        clone.journal.resume(bank.topic, clone.compose_resume)


def lose_and_rebuild(bank: Bank, path: Path, reservations: list[Reservation]) -> Bank:
    """A rebuilt bank whose RESUME is sent."""
    lost = fresh(bank, path)
    lost.journal.rebuild(lost.topic, reservations, lost.compose_resume)
    lost.send()
    return lost


def test_rebuild_charges_every_joined_run_in_full(bank: Bank, tmp_path: Path) -> None:
    """Finished or not: what was freed is forgotten, nothing is new budget, no run is joined again."""
    bank.ready()
    bank.spend(0)
    bank.journal.finish(RUN, LEFT)
    bank.join(OTHER_RUN, 300)
    bank.send()
    runs = [reservation(), reservation(OTHER_RUN, 300)]
    lost = lose_and_rebuild(bank, tmp_path / "fresh.sqlite", runs)
    report = lost.journal.ledger()
    assert (report.lifetime.charged_nano, [item.charged_nano for item in report.buckets]) == (800, [800, 800])
    assert [run.state for run in report.runs] == [RunState.LEFT, RunState.LEFT]
    for run in (RUN, OTHER_RUN):
        with pytest.raises(RunClosedError):
            lost.join(run)
    assert (verdict(lost), lost.journal.verify()) == (Verdict.OK, [])


def test_a_rebuilt_bank_goes_on(bank: Bank, tmp_path: Path) -> None:
    """Its chain continues after the topic's last record, and stands a restart."""
    bank.ready()
    lost = lose_and_rebuild(bank, tmp_path / "fresh.sqlite", [reservation()])
    lost.join(OTHER_RUN, 100)
    lost.spend(0, OTHER_RUN)
    lost.send()
    lost.journal.close()
    lost.journal = open_journal(tmp_path / "fresh.sqlite")
    assert (verdict(lost), chain(lost.topic).highest) == (Verdict.OK, 5)
    assert not chain(lost.topic).gap


def test_rebuild_marks_its_resume(bank: Bank, tmp_path: Path) -> None:
    """Verifiers see that the history was lost."""
    bank.ready()
    lost = lose_and_rebuild(bank, tmp_path / "fresh.sqlite", [reservation()])
    body = lost.topic[-1].body
    assert isinstance(body, ResumeBody)
    assert (body.journal_seq, body.journal_digest, body.topic_seq, body.rebuilt) == (0, b"", 2, True)


@pytest.mark.parametrize("case", ["front", "emptied", "hole", "unknown run"])
def test_a_gap_charges_to_the_cap(bank: Bank, tmp_path: Path, case: str) -> None:
    """A JOIN may be among what is missing, or a plan unknown: no month and no run is left."""
    bank.ready()
    bank.start()
    bank.send()
    cuts = {"front": bank.topic[2:], "emptied": [], "hole": bank.topic, "unknown run": bank.topic}
    bank.topic = cuts[case]
    if case in ("emptied", "hole"):
        bank.topic = bank.topic[:1]
        bank.journal.resume(bank.topic, bank.compose_resume)
        bank.send()
    lost = lose_and_rebuild(bank, tmp_path / "fresh.sqlite", [])
    report = lost.journal.ledger()
    assert report.lifetime.charged_nano >= LIFETIME_CAP
    assert (report.buckets[-1].name, report.buckets[-1].left_nano <= 0) == (EVERY, True)
    with pytest.raises(BudgetExceededError) as caught:
        lost.join(OTHER_RUN, 1, ("2031-01",))
    assert caught.value.cap_nano == BUCKET_CAP


def test_an_archive_saves_the_budget(bank: Bank, tmp_path: Path) -> None:
    """With the exported records before the kept ones there is no gap."""
    bank.ready()
    bank.start()
    bank.send()
    archive, kept = bank.topic[:2], bank.topic[2:]
    lost = Bank(open_journal(tmp_path / "fresh.sqlite"), kept, bank.composed)
    lost.journal.rebuild([*archive, *kept], [reservation()], lost.compose_resume)
    lost.send()
    assert (lost.journal.ledger().lifetime.charged_nano, verdict(lost)) == (500, Verdict.OK)


def test_rebuild_charges_the_runs_of_a_clone_too(bank: Bank, tmp_path: Path) -> None:
    """A JOIN off the chain was a JOIN of ours; after the RESUME the fork is settled."""
    bank.ready()
    clone = bank.copy(tmp_path / "clone.sqlite")
    bank.start()
    bank.send()
    clone.join(OTHER_RUN, 200)
    clone.send()
    runs = [reservation(), reservation(OTHER_RUN, 200)]
    lost = lose_and_rebuild(bank, tmp_path / "fresh.sqlite", runs)
    assert (lost.journal.ledger().lifetime.charged_nano, verdict(lost)) == (700, Verdict.OK)


def test_rebuild_may_exceed_the_caps(bank: Bank, tmp_path: Path) -> None:
    """What was spent was spent; the months are then overdrawn and refuse everything."""
    bank.ready()
    runs = [reservation(), reservation(OTHER_RUN, 900)]
    lost = lose_and_rebuild(bank, tmp_path / "fresh.sqlite", runs)
    assert lost.journal.ledger().buckets[0].left_nano == -400


def test_rebuild_needs_a_fresh_journal(bank: Bank) -> None:
    """A journal with entries is repaired by nobody."""
    bank.ready()
    with pytest.raises(JournalError, match="not a fresh journal"):
        bank.journal.rebuild(bank.topic, [reservation()], bank.compose_resume)


def test_rebuild_refuses_another_account(bank: Bank) -> None:
    """A reservation belongs to this account."""
    with pytest.raises(JournalError, match="account 'loans'"):
        bank.journal.rebuild([], [Reservation(RUN, "loans", ("2018-05",), 1)], bank.compose_resume)


def test_a_failed_rebuild_writes_nothing(bank: Bank, tmp_path: Path) -> None:
    """The governance key was not at hand: the file stays fresh and the next try works."""
    bank.ready()
    lost = fresh(bank, tmp_path / "fresh.sqlite")

    def unsigned(*_: object) -> object:
        raise PermissionError

    with pytest.raises(PermissionError):
        lost.journal.rebuild(lost.topic, [reservation()], unsigned)  # type: ignore[arg-type]
    assert lost.journal.ledger().runs == ()
    assert lost.journal.rebuild(lost.topic, [reservation()], lost.compose_resume).seq == 3


def test_a_stray_record_of_the_old_machine_stops_the_bank(bank: Bank, tmp_path: Path) -> None:
    """After a rebuild the old disk comes back and writes: that is a clone."""
    bank.ready()
    lost = lose_and_rebuild(bank, tmp_path / "fresh.sqlite", [reservation()])
    bank.spend(0)
    bank.send()
    assert verdict(lost) is Verdict.CLONED


def test_points_are_plain_data() -> None:
    """A RESUME point says what the body will say; the account of these tests is fixed."""
    point = ResumePoint(3, b"j", 2, b"t", rebuilt=False)
    assert (point.journal_seq, point.topic_digest, ACCOUNT) == (3, b"t", "cards")


def test_an_unknown_void_start_of_the_past_is_ignored(bank: Bank) -> None:
    """However many losers tried."""
    bank.ready()
    bank.topic.extend(checked(Kind.START, seq, b"l" * 32) for seq in (1, 2, 3, 9))
    assert verdict(bank) is Verdict.OK
