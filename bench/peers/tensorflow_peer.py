"""TensorFlow's side, with Keras: requests and answers are lines of JSON on stdin and stdout, as in bench/worker.mjs."""
import json
import os
import re
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
try:
    import tensorflow as tf
except ImportError:
    sys.exit(0)

keras = tf.keras
L = keras.layers
threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
tf.config.threading.set_intra_op_parallelism_threads(threads)
tf.config.threading.set_inter_op_parallelism_threads(threads)


def perceptron(inputs, *sizes):
    hidden = [L.Dense(size, activation="relu") for size in sizes[:-1]]
    return keras.Sequential([keras.Input((inputs,)), *hidden, L.Dense(sizes[-1])])


def lenet5():
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        L.Conv2D(6, 5, padding="same", activation="sigmoid"), L.AveragePooling2D(2),
        L.Conv2D(16, 5, activation="sigmoid"), L.AveragePooling2D(2), L.Flatten(),
        L.Dense(120, activation="sigmoid"), L.Dense(84, activation="sigmoid"), L.Dense(10),
    ])


def cifar_cnn():
    def conv(channels):
        return [L.Conv2D(channels, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU()]

    return keras.Sequential([
        keras.Input((32, 32, 3)), *conv(32), *conv(32), L.MaxPool2D(2), *conv(64), *conv(64), L.MaxPool2D(2), *conv(128),
        L.GlobalAveragePooling2D(), L.Dense(10),
    ])


# name: (make, shape of one sample, classes); of the networks for 224x224, those that Keras has.
IMAGE = (224, 224, 3)
NETWORKS = {
    "mlp": (lambda: perceptron(64, 64, 64, 10), (64,), 10),
    "mlp-images": (lambda: perceptron(784, 512, 512, 10), (784,), 10),
    "lenet5": (lenet5, (28, 28, 1), 10),
    "cifar-cnn": (cifar_cnn, (32, 32, 3), 10),
    "resnet50": (lambda: keras.applications.ResNet50(weights=None, classifier_activation=None), IMAGE, 1000),
    "vgg16": (lambda: keras.applications.VGG16(weights=None, classifier_activation=None), IMAGE, 1000),
}


def network(name):
    if name not in NETWORKS:
        raise KeyError(f"Keras has no {name}")
    make, shape, classes = NETWORKS[name]
    return make(), shape, classes


def step(model, batch, optimizer="sgd"):
    model, shape, classes = network(model)
    x = tf.random.normal((batch, *shape))
    y = tf.random.uniform((batch,), 0, classes, tf.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rule = keras.optimizers.SGD(0.01, momentum=0.9) if optimizer == "sgd" else keras.optimizers.Adam(1e-3)

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        variables = model.trainable_variables
        rule.apply_gradients(zip(tape.gradient(value, variables), variables))
        return value

    return run


def inference(model, batch):
    model, shape, _ = network(model)
    x = tf.random.normal((batch, *shape))
    return tf.function(lambda: model(x, training=False))


WORKS = {"step": step, "inference": inference}

TARGET = 0.25e9
SAMPLES = 7
SLOW = 0.1e9


class Repeated:
    """Times a function by the rule of bench/works/measure.mjs."""

    def __init__(self, run):
        self.run, self.warm = run, False

    def time(self, count):
        start = time.perf_counter_ns()
        for _ in range(count):
            result = self.run()
        result.numpy()
        return time.perf_counter_ns() - start

    def measure(self):
        if not self.warm:
            self.time(3)
        self.warm = True
        count, spent = 1, self.time(1)
        if spent >= SLOW:
            return {"nanoseconds": spent}
        while spent < TARGET / SAMPLES / 4 and count < 1 << 20:
            count *= 2
            spent = self.time(count)
        count = max(5, round(count * TARGET / SAMPLES / spent))
        times = sorted(self.time(count) / count for _ in range(SAMPLES))
        return {"nanoseconds": times[SAMPLES // 2]}


def peak_memory():
    try:
        with open("/proc/self/status", encoding="utf8") as status:
            return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status.read())[1])
    except OSError:
        return None


current = None


def answer(request):
    global current
    if request["ask"] == "info":
        return {"version": tf.__version__}
    if request["ask"] == "prepare":
        current = None
        work = dict(request["work"])
        current = Repeated(WORKS[work.pop("kind")](**work))
        return {}
    if request["ask"] == "measure":
        return current.measure()
    return {"peakMemory": peak_memory()}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:  # told, not hidden: the driver prints it
        reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
