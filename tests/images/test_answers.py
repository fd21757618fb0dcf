import pytest

from metacurate.images.answers import MOST_HOSTS, MOST_SILENT, Answers, host_of
from metacurate.images.fetching.statuses import MachineError
from metacurate.images.spool import Result


def silent(index: int) -> Result:
    return Result(index, "unreachable", "no route")


def test_results_without_an_answer_wait_until_somebody_answers() -> None:
    taken: list[int] = []
    answers = Answers(lambda result: taken.append(result.index))
    answers.add(Result(0, "success"))
    for index in range(1, 4):
        answers.add(silent(index), "a.example")
    assert taken == [0]
    answers.add(Result(4, "not_found"))
    assert taken == [0, 1, 2, 3, 4]
    answers.add(silent(5), "a.example")
    answers.end()
    assert taken == [0, 1, 2, 3, 4, 5]


def test_where_nobody_answers_the_run_ends_and_nothing_is_kept() -> None:
    taken: list[int] = []
    answers = Answers(lambda result: taken.append(result.index))
    for index in range(MOST_SILENT - 1):
        answers.add(silent(index), f"{index % MOST_HOSTS}.example")
    with pytest.raises(MachineError, match=r"is there a network\? The same command goes on"):
        answers.add(silent(MOST_SILENT), "last.example")
    assert taken == []


def test_one_dead_host_is_no_dead_network() -> None:
    answers = Answers(lambda _: None)
    for index in range(10 * MOST_SILENT):
        answers.add(silent(index), f"{index % (MOST_HOSTS - 1)}.example")


def test_hosts() -> None:
    assert host_of("https://A.example:8080/x") == "a.example"
    assert host_of("http://[") == host_of("no url") == ""
