"""Both feeds give every event once an epoch, in an order that depends on seed and epoch alone."""

import numpy as np
import pytest

from ml.feed import STREAM_BLOCKS, MemoryFeed, Rows, StreamFeed

EVENTS, BATCH = 1000, 64
X = np.arange(EVENTS, dtype="f4")[:, None] * np.ones(3, "f4")
WEIGHT = np.arange(EVENTS, dtype="f4") / 10


def memory():
    return MemoryFeed(Rows(X, WEIGHT), np.zeros(3), BATCH, seed=1)


def stream():
    size = EVENTS // (3 * STREAM_BLOCKS)  # several rounds of blocks
    blocks = [slice(start, start + size) for start in range(0, EVENTS, size)]
    return StreamFeed(blocks, lambda b: Rows(X[b], WEIGHT[b]), EVENTS, np.zeros(3), BATCH, seed=1)


def collected(feed, data):
    batches = [feed.rows(element) for element in data]
    return [x.numpy()[:, 0] for x, _, _ in batches], [w.numpy() for _, _, w in batches]


@pytest.mark.parametrize("make", [memory, stream])
def test_epochs(make):
    feed = make()
    steps = EVENTS // BATCH
    events, weights = collected(feed, feed.shuffled(0, 3, steps))
    assert len(events) == 3 * steps and {len(batch) for batch in events} == {BATCH}
    np.testing.assert_allclose(np.concatenate(events) / 10, np.concatenate(weights), rtol=1e-6)
    for epoch in range(3):
        seen = np.concatenate(events[epoch * steps : (epoch + 1) * steps])
        assert len(np.unique(seen)) == steps * BATCH
        assert abs(np.corrcoef(seen, np.arange(len(seen)))[0, 1]) < 0.1
    assert not np.array_equal(events[0], events[steps])
    resumed, _ = collected(make(), make().shuffled(1, 3, steps))
    np.testing.assert_array_equal(resumed, events[steps:])


@pytest.mark.parametrize("make", [memory, stream])
def test_once_is_every_event_in_order(make):
    feed = make()
    events, _ = collected(feed, feed.once())
    np.testing.assert_array_equal(np.concatenate(events), X[:, 0])
    assert feed.once().cardinality() == -(-EVENTS // BATCH)


def test_nan_is_filled_for_the_network_and_kept_for_the_loss():
    x = np.array([[1.0, np.nan]], "f4")
    feed = MemoryFeed(Rows(x, np.ones(1, "f4")), np.array([5.0, 6.0]), 1, seed=1)
    seen, target, _ = feed.rows(next(iter(feed.once())))
    assert seen.numpy().tolist() == [[1.0, 6.0]]
    assert np.isnan(target.numpy()).tolist() == [[False, True]]
