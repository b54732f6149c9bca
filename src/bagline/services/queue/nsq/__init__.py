"""NSQ as the queue of a fleet: many workers, many nsqd, found by nsqlookupd or by address.

`queue` is the seam's implementation, `http` publishes and asks, `reader` is one topic's
place in line, `nsqd` one TCP connection to it, `addresses` how many messages each may send,
`frames` the bytes, `delivery` one message in hand, `loop` the thread on which these live.
"""
