"""How long a device is left alone whose queue somebody took away."""

from __future__ import annotations

from netpolicy.dataplane.netlink_tc import ROOT, Queue
from netpolicy.dataplane.shaping import HANDLE
from netpolicy.dataplane.vacancies import REST_MOST_SECONDS, REST_SECONDS, SOON_SECONDS, Vacancies

OURS, THEIRS, DEFAULT = (Queue(7, "htb", HANDLE, ROOT), Queue(7, "htb", 0x10000, ROOT), Queue(7, "noqueue", 0, ROOT))
INNER = Queue(7, "bfifo", 0x1100000, 0x10010)
HERE = (7,)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Clock, Vacancies]:
    clock = Clock()
    return clock, Vacancies(clock)


def test_a_device_rests_when_the_queue_that_stood_there_is_gone_whosever_it_was_and_however_the_kernel_tells_it():
    for stood in (OURS, THEIRS):
        for then in ([DEFAULT], []):
            clock, vacancies = made()
            vacancies.see(HERE, [stood, INNER])
            assert not vacancies.resting()
            vacancies.see(HERE, then)
            assert vacancies.resting() == HERE and vacancies.rests_for() == REST_SECONDS
            clock.now += REST_SECONDS
            assert not vacancies.resting() and vacancies.rests_for() == SOON_SECONDS, "nobody has looked since"
            vacancies.see(HERE, then)
            assert not vacancies.resting() and vacancies.rests_for() == 0


def test_what_was_always_empty_what_we_took_away_and_what_is_replaced_does_not_rest():
    _, vacancies = made()
    vacancies.see(HERE, [DEFAULT])
    vacancies.put(7)
    vacancies.took(7)
    vacancies.see(HERE, [DEFAULT])
    vacancies.put(7)
    vacancies.see(HERE, [THEIRS])
    assert not vacancies.resting()


def test_a_device_that_went_away_is_forgotten():
    _, vacancies = made()
    vacancies.see(HERE, [OURS])
    vacancies.see((), [])
    vacancies.see(HERE, [DEFAULT])
    assert not vacancies.resting()


def test_who_takes_ours_away_again_and_again_is_left_alone_for_longer_and_longer():
    clock, vacancies = made()
    rests = []
    for pause in [0.0] * 10 + [3 * REST_MOST_SECONDS]:
        clock.now += pause
        vacancies.put(7)
        vacancies.see(HERE, [DEFAULT])
        rests.append(vacancies.rests_for())
        clock.now += rests[-1]
    assert rests[:4] == [3, 6, 12, 24] and rests[9] == REST_MOST_SECONDS
    assert rests[10] == REST_SECONDS


def test_who_takes_away_what_is_not_ours_may_do_so_as_often_as_he_likes():
    clock, vacancies = made()
    for _ in range(5):
        vacancies.see(HERE, [THEIRS])
        vacancies.see(HERE, [DEFAULT])
        assert vacancies.rests_for() == REST_SECONDS
        clock.now += REST_SECONDS
