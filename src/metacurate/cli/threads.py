"""What has to be said to a process before it loads PyTorch."""

import os


def wait_without_spinning() -> None:
    """Have PyTorch's threads sleep while they wait for each other.

    By default they spin for a while, which takes the cores from whatever else runs: on two busy
    cores training was five times slower. What the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
