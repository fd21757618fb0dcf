"""Balancing where training reads: each epoch another subset, drawn on the fly.

`online_balance` is a filter for anybody's pipeline; `BalancedShards` reads shards over ranks and
workers, and `metacurate.images.online.loader` makes a PyTorch loader of it that can be resumed.
"""

from metacurate.images.online.balancing import OnlineBalance, online_balance
from metacurate.images.online.decoding import decode
from metacurate.images.online.reading import samples_of
from metacurate.images.online.sharded import BalancedShards

__all__ = ["BalancedShards", "OnlineBalance", "decode", "online_balance", "samples_of"]
