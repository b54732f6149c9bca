"""NSQ as the queue of a fleet: many workers, many nsqd, found by nsqlookupd or by address.

`queue` is the seam's implementation, `http` publishes and asks, `reader` is one topic's
place in line, `connection` one TCP connection, `frames` its bytes, `delivery` one message
in hand, `loop` the thread on which these live.
"""
