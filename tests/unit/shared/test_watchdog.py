"""When a Kafka client is said to stand still."""

from aiokafka import TopicPartition

from shared.watchdog import ALL_SECONDS, ONE_SECONDS, Watchdog

A, B = TopicPartition("tickets", 0), TopicPartition("tickets", 1)


def watchdog() -> Watchdog:
    made = Watchdog()
    made.watch([A, B], now=0.0)
    return made


def test_who_has_nothing_to_bring_is_never_late() -> None:
    assert watchdog().late({A: 0, B: 0}, now=10 * ONE_SECONDS) is None


def test_records_that_wait_make_it_late_when_none_came_for_a_while() -> None:
    dog = watchdog()
    assert dog.late({A: 2, B: 3}, now=ALL_SECONDS) is None
    assert dog.late({A: 2, B: 3}, now=ALL_SECONDS + 1) == "5 records wait and none came for 60 s"


def test_one_partition_may_wait_for_others_but_not_for_ever() -> None:
    dog = watchdog()
    for now in range(0, int(ONE_SECONDS) + 10, 10):
        dog.brought([A], float(now))
        late = dog.late({A: 5, B: 3}, float(now))
        assert late is None or now > ONE_SECONDS
    assert dog.late({A: 5, B: 3}, ONE_SECONDS + 1) == "3 records of tickets[1] wait and none came for 600 s"


def test_the_time_begins_when_there_is_something_to_bring() -> None:
    dog = watchdog()
    assert dog.late({A: 0, B: 0}, now=1000.0) is None
    assert dog.late({A: 1, B: 0}, now=1001.0) is None


def test_partitions_that_were_taken_away_are_forgotten() -> None:
    dog = watchdog()
    dog.watch([B], now=0.0)
    assert dog.late({A: 9, B: 0}, now=1000.0) is None
