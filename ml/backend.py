"""TensorFlow, started quietly and reproducibly. Import it before keras."""

import os
import sys
import tempfile
from contextlib import contextmanager

from analysis.errors import M3LError


@contextmanager
def _quiet_start():
    """Hold back what C++ prints to stderr while TensorFlow loads; show it if loading fails."""
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
try:
    with _quiet_start():
        import keras
        import tensorflow as tf
except ImportError as error:
    raise M3LError(
        f"TensorFlow and Keras are needed for this command ({error}): pip install '.[ml]'"
    ) from None

tf.get_logger().setLevel("ERROR")  # it warns of one compilation per fold model
# Without it the order of additions in parallel reductions may differ from run to run.
tf.config.experimental.enable_op_determinism()


def seed(number):
    """Seed Python, numpy and TensorFlow, and forget the names of earlier layers."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(number)


def accelerated():
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def strategy():
    """How to spread training over the devices: all GPUs if there are several."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
