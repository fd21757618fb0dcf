from metacurate.images.fetching.statuses import FetchError, Status
from tests.images.hostile_server import BUSY, CASES


def test_a_status_is_a_string_with_an_explanation_of_one_line() -> None:
    for status in Status:
        assert status == status.value == str(status)
        assert Status(status.value) is status
        assert status.explanation.endswith(".")
        assert "\n" not in status.explanation


def test_every_case_of_the_server_names_a_status() -> None:
    assert {*CASES.values(), *BUSY.values()} <= set(Status)


def test_an_error_says_whether_it_may_pass() -> None:
    error = FetchError(Status.SERVER_ERROR, "500", passing=True)
    assert (error.status, str(error), error.passing) == ("server_error", "500", True)
