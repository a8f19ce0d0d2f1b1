"""How scaled events reach a network: from memory, by their number, or streamed from the tables.

Both feeds give batches of a fixed size in an order that depends on the seed and the epoch alone, so
that training can go on after a kill as if nothing had happened.
"""

from dataclasses import dataclass

import numpy as np

STREAM_BLOCK = 4096  # rows that stay together when tables are streamed
STREAM_BLOCKS = 32  # blocks from all over the tables that are mixed at once; 118 MB of 225 features


@dataclass(frozen=True)
class Rows:
    """Prepared events: what the network learns from."""

    x: np.ndarray  # (events, features) float32, scaled; NaN marks an absent cell to be ignored
    weight: np.ndarray  # (events,) float32

    def __len__(self):
        return len(self.weight)


class MemoryFeed:
    """Events held in memory (of the accelerator, if there is one), looked up by number."""

    def __init__(self, rows, fill, batch, seed):
        """`fill` (features,): what the network sees in place of NaN."""
        import tensorflow as tf

        self.events, self.batch, self.seed = len(rows), batch, seed
        self._x = tf.convert_to_tensor(rows.x)
        self._weight = tf.convert_to_tensor(rows.weight)
        self._fill = tf.constant(fill, tf.float32)

    def shuffled(self, first_epoch, epochs, steps):
        """Dataset of `steps` batches for each epoch from `first_epoch` on."""
        import tensorflow as tf

        def epoch(number):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.events), seed=[self.seed, number]
            )
            batches = tf.data.Dataset.from_tensor_slices(order[: steps * self.batch])
            return batches.batch(self.batch, drop_remainder=True)

        numbers = tf.data.Dataset.range(first_epoch, epochs, output_type=tf.int32)
        return numbers.flat_map(epoch).prefetch(tf.data.AUTOTUNE)

    def once(self):
        """Dataset of every event once, in order."""
        import tensorflow as tf

        return tf.data.Dataset.range(self.events, output_type=tf.int32).batch(self.batch)

    def rows(self, numbers):
        """(x, y, weight) of the events with these numbers."""
        import tensorflow as tf

        y = tf.gather(self._x, numbers)
        return _filled(y, self._fill), y, tf.gather(self._weight, numbers)


class StreamFeed:
    """Events read again in each epoch, for tables that do not fit into memory.

    Blocks of neighbouring rows are drawn from all over the tables and the rows of several blocks
    are mixed: the memory needed does not grow with the tables.
    """

    def __init__(self, blocks, read, events, fill, batch, seed):
        """`read` turns one of `blocks` into its `Rows`; `events` is their total number."""
        self.blocks, self.read, self.events = blocks, read, events
        self.fill, self.batch, self.seed = fill, batch, seed

    def shuffled(self, first_epoch, epochs, steps):
        """Dataset of `steps` batches for each epoch from `first_epoch` on."""

        def batches():
            for epoch in range(first_epoch, epochs):
                random = np.random.default_rng([self.seed, epoch])
                order = random.permutation(len(self.blocks))
                for _, rows in zip(range(steps), self._batches(order, random), strict=False):
                    yield rows

        return self._dataset(batches, steps * (epochs - first_epoch))

    def once(self):
        """Dataset of every event once, in order."""
        batches = -(-self.events // self.batch)
        return self._dataset(lambda: self._batches(range(len(self.blocks)), None), batches)

    def rows(self, element):
        """(x, y, weight) of a batch."""
        y, weight = element
        return _filled(y, self.fill), y, weight

    def _batches(self, order, random):
        waiting = []
        for position, block in enumerate(order, 1):
            waiting.append(self.read(self.blocks[block]))
            last = position == len(order)
            if position % STREAM_BLOCKS and not last:
                continue
            x = np.concatenate([rows.x for rows in waiting])
            weight = np.concatenate([rows.weight for rows in waiting])
            mixed = np.arange(len(x)) if random is None else random.permutation(len(x))
            whole = len(x) - len(x) % self.batch
            for start in range(0, whole, self.batch):
                chosen = mixed[start : start + self.batch]
                yield x[chosen], weight[chosen]
            rest = mixed[whole:]
            waiting = [Rows(x[rest], weight[rest])]
            if last and random is None and len(rest):
                yield x[rest], weight[rest]

    def _dataset(self, generator, batches):
        import tensorflow as tf

        features = len(self.fill)
        signature = (
            tf.TensorSpec((None, features), tf.float32),
            tf.TensorSpec((None,), tf.float32),
        )
        data = tf.data.Dataset.from_generator(generator, output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(batches)).prefetch(2)


def _filled(y, fill):
    import tensorflow as tf

    return tf.where(tf.math.is_nan(y), fill, y)
