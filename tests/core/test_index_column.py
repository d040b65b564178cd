"""Lists of entries: in rank order, shared where they are long, whole when they are merged."""

from netpolicy.core.field import parse_field
from netpolicy.core.index_column import MAX_KEYS_MERGED, NOBODY, Groups, beside, in_order, linked, ranks_of
from netpolicy.core.index_order import SLICE

ANY = parse_field("dest_port", ("80",))


def entry(rank: int) -> tuple:
    return (rank, None, None, None, None)


def groups(*ranks: tuple[int, ...], keys: int = 1) -> Groups:
    """Groups with rules of these ranks, under so many keys each."""
    made = Groups()
    for _, number in sorted((rank, number) for number, row in enumerate(ranks) for rank in row):
        made.add(number, ANY, entry(_))
    for number in range(len(ranks)):
        made.note_keys(number, keys)
    return made


def walked(first: tuple | None) -> list[int]:
    found = []
    while first is not None:
        found.append(first[0])
        first = first[4]
    return found


def test_a_list_leads_from_rank_to_rank() -> None:
    assert walked(linked([entry(1), entry(5), entry(9)])) == [1, 5, 9]
    only = entry(3)
    assert linked([only]) is only


def test_one_group_has_one_list_wherever_it_hangs() -> None:
    made = groups((0, 4), (1,))
    assert made.list_of([0]) is made.list_of([0])
    assert walked(made.list_of([0])) == [0, 4]


def test_short_lists_under_one_key_are_merged_by_rank() -> None:
    made = groups((0, 4), (1, 7), (2,))
    assert walked(made.list_of([0, 1, 2])) == [0, 1, 2, 4, 7]
    assert made.list_of([0, 1]) is made.list_of([0, 1])


def test_long_lists_under_many_keys_stand_beside_each_other() -> None:
    long = tuple(range(1, 100))
    made = groups((0,), long, keys=MAX_KEYS_MERGED + 1)
    found = made.list_of([0, 1])
    assert found[:2] == (0, NOBODY)
    assert found[3] == (made.list_of([0]), made.list_of([1]))
    assert sorted(ranks_of([found])) == [0, *long]


def test_beside_is_looked_at_as_soon_as_the_best_of_its_lists() -> None:
    assert beside([entry(9), entry(4)])[0] == 4
    assert [one[0] for one in beside([entry(9), entry(4)])[3]] == [4, 9]
    assert beside([entry(9)]) == entry(9)


def test_entries_out_of_order_are_put_in_order() -> None:
    assert in_order([entry(1), entry(3), entry(2)]) == [entry(1), entry(2), entry(3)]


def test_thousands_of_groups_under_one_key_are_merged_in_slices() -> None:
    count = 3 * SLICE
    made = groups(*((rank,) for rank in range(count)))
    steps = made.list_steps(list(range(count - 1, -1, -1)))
    taken = 0
    first = None
    while first is None:
        try:
            next(steps)
        except StopIteration as end:
            first = end.value
        taken += 1
    assert walked(first) == list(range(count))
    assert taken > 3


def test_what_is_released_leaves_the_lists_as_they_are() -> None:
    made = groups((0, 4), (1,))
    first = made.list_of([0, 1])
    for _ in made.release_steps():
        pass
    assert made.fields == []
    assert walked(first) == [0, 1, 4]
