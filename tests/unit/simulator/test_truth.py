"""The ground truth: written as it goes, read back the same."""

from pathlib import Path

from simulator.truth import Act, Answer, Sending, Truth


def some_truth() -> Truth:
    truth = Truth()
    truth.begun(Sending("SM1", "sms", "+40721000000", "ro", "c1", "Bună, מה קורה"))
    truth.answered("SM1", Answer(1.5, None))
    return truth


def test_a_sending_is_acknowledged_by_one_success_whatever_came_before() -> None:
    truth = some_truth()
    assert [sending.key for sending in truth.outstanding] == ["SM1"]
    for status in (503, 451, 422):
        truth.answered("SM1", Answer(2.0, status))
        assert truth.outstanding
    truth.answered("SM1", Answer(2.5, 250, number=100_001))
    assert not truth.outstanding
    truth.answered("SM1", Answer(3.0, None))
    assert truth.sendings["SM1"].acknowledged


def test_what_is_written_while_it_happens_reads_back_the_same(tmp_path: Path) -> None:
    truth, path = some_truth(), tmp_path / "truth.jsonl"
    truth.write(path)
    truth.answered("SM1", Answer(2.5, 201, "t", "m", 100_001))
    act = truth.acted(Act("accept", "dana", "k1", 3.0, "t", "o"))
    truth.tried(truth.tried(act, None), 200)
    truth.begun(Sending("CA1", "voice", "+40721000001", "he", "c2", "", kind="call"))
    read = Truth.read(path)
    assert read.sendings == truth.sendings
    assert read.acts == truth.acts == [Act("accept", "dana", "k1", 3.0, "t", "o", 200, (None, 200))]


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    truth, path = some_truth(), tmp_path / "truth.jsonl"
    truth.write(path)
    truth.answered("SM1", Answer(2.5, 201))
    truth.close()
    path.write_bytes(path.read_bytes()[:-5])
    assert [answer.status for answer in Truth.read(path).sendings["SM1"].answers] == [None]


def test_a_repeated_act_keeps_its_message_and_all_its_answers() -> None:
    truth = Truth()
    act = truth.acted(Act("reply", "dana", "k", 1.0, "t"))
    truth.tried(truth.tried(truth.tried(act, 503), 201, "m1"), None)
    [kept] = truth.acts
    assert (kept.status, kept.message_id, kept.statuses) == (201, "m1", (503, 201, None))
