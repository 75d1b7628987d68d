"""PyTorch's side: requests and answers are lines of JSON on stdin and stdout, as in bench/worker.mjs."""
import json
import os
import re
import sys
import time

try:
    import torch
    from torch import nn
except ImportError:
    sys.exit(0)

F = nn.functional
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
# As ours on a GPU: full float32.
torch.backends.cudnn.allow_tf32 = False


def torchvision_models():
    """torchvision's networks. They need none of its compiled operators, so where those do not fit this torch, their names are enough."""
    try:
        from torchvision import models
    except RuntimeError:
        import importlib.util
        from pathlib import Path

        folder = Path(importlib.util.find_spec("torchvision").submodule_search_locations[0])
        names = re.findall(r'(?:register_meta\(|register_fake\("torchvision::)"?(\w+)"', (folder / "_meta_registrations.py").read_text())
        torchvision_models.library = torch.library.Library("torchvision", "FRAGMENT")
        for name in set(names):
            torchvision_models.library.define(f"{name}(Tensor x) -> Tensor")
        for module in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[module]
        from torchvision import models
    return models


class OverFeat(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Conv2d(96, 256, 5), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Conv2d(256, 512, 3, padding=1), nn.ReLU(True),
            nn.Conv2d(512, 1024, 3, padding=1), nn.ReLU(True),
            nn.Conv2d(1024, 1024, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1024 * 6 * 6, 3072), nn.ReLU(True),
            nn.Linear(3072, 4096), nn.ReLU(True), nn.Linear(4096, 1000),
        )


def cifar_cnn():
    def conv(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]

    return nn.Sequential(
        *conv(3, 32), *conv(32, 32), nn.MaxPool2d(2), *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2), *conv(64, 128),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )


def lenet5():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )


def perceptron(*sizes):
    layers = []
    for inputs, outputs in zip(sizes, sizes[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


# name: (make, shape of one sample, classes)
NETWORKS = {
    "mlp": (lambda: perceptron(64, 64, 64, 10), [64], 10),
    "mlp-images": (lambda: perceptron(784, 512, 512, 10), [784], 10),
    "mlp-wide": (lambda: perceptron(1024, 2048, 2048, 10), [1024], 10),
    "lenet5": (lenet5, [1, 28, 28], 10),
    "cifar-cnn": (cifar_cnn, [3, 32, 32], 10),
    "overfeat": (OverFeat, [3, 231, 231], 1000),
}


class Case:
    """What a variant asks for, and how a network of it is made ready."""

    def __init__(self, variant):
        self.device = variant.get("device", "cpu")
        self.format = torch.channels_last if variant.get("channelsLast") else torch.contiguous_format
        self.compiled = variant.get("compiled", False)

    def place(self, t):
        return t.to(self.device, memory_format=self.format if t.dim() == 4 else torch.preserve_format)

    def ready(self, model):
        return model.to(self.device, memory_format=self.format)

    def compile(self, function):
        return torch.compile(function) if self.compiled else function

    def wait(self):
        if self.device != "cpu":
            torch.cuda.synchronize()

    def autocast(self, dtype):
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=dtype == "bfloat16")

    def network(self, name):
        if name in NETWORKS:
            make, shape, classes = NETWORKS[name]
            return self.ready(make()), shape, classes
        make = getattr(torchvision_models(), name)
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        return self.ready(make(**options)), [3, 224, 224], 1000


def step(case, model, batch, optimizer="sgd", dtype="float32"):
    model, shape, classes = case.network(model)
    x = case.place(torch.randn(batch, *shape))
    y = torch.randint(0, classes, (batch,), device=case.device)
    rule = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9) if optimizer == "sgd" else torch.optim.Adam(model.parameters(), lr=1e-3)
    forward = case.compile(lambda x, y: F.cross_entropy(model(x), y))

    def run():
        rule.zero_grad(set_to_none=True)
        with case.autocast(dtype):
            loss = forward(x, y)
        loss.backward()
        rule.step()

    return run, 1


class LanguageModel(nn.Module):
    def __init__(self, vocabulary, units, layers, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocabulary, units)
        self.rnn = nn.LSTM(units, units, layers, dropout=dropout)
        self.decoder = nn.Linear(units, vocabulary)

    def forward(self, x, state):
        y, state = self.rnn(self.drop(self.encoder(x)), state)
        return self.decoder(self.drop(y)).flatten(0, 1), state


def language(case, size, batch, steps):
    vocabulary, units, layers, dropout = {"medium": (10000, 650, 2, 0.5)}[size]
    model = case.ready(LanguageModel(vocabulary, units, layers, dropout))
    x = torch.randint(0, vocabulary, (steps, batch), device=case.device)
    y = torch.randint(0, vocabulary, (steps * batch,), device=case.device)
    rule = torch.optim.SGD(model.parameters(), lr=1.0)
    state = [torch.zeros(layers, batch, units, device=case.device) for _ in range(2)]

    def run():
        nonlocal state
        rule.zero_grad(set_to_none=True)
        logits, following = model(x, tuple(state))
        F.cross_entropy(logits, y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5)
        rule.step()
        state = [s.detach() for s in following]

    return run, 1


def inference(case, model, batch):
    model, shape, _ = case.network(model)
    model.eval()
    x = case.place(torch.randn(batch, *shape))
    forward = case.compile(model)

    def run():
        # A compiled function is guarded against inference mode.
        with torch.no_grad() if case.compiled else torch.inference_mode():
            forward(x)

    return run, 1


def passes(case, model, batch):
    torch.backends.cudnn.benchmark = True
    model, shape, classes = case.network(model)

    def run():
        model.zero_grad(set_to_none=True)
        x = case.place(torch.randn(batch, *shape))
        dy = torch.randn(batch, classes, device=case.device)
        case.wait()
        start = time.perf_counter_ns()
        y = model(x)
        case.wait()
        middle = time.perf_counter_ns()
        y.backward(dy)
        case.wait()
        return {"forward": middle - start, "backward": time.perf_counter_ns() - middle}

    run()
    return run


class Bottleneck(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(256, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
            nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True),
            nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256),
        )

    def forward(self, x):
        return torch.relu_(self.inner(x) + x)


class Recurrent(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.lstm = nn.LSTM(650, 650, num_layers=layers)

    def forward(self, x):
        return self.lstm(x)[0]


def layer(case, layer, dtype="float32", layers=1, batch=16, inputs=0, outputs=0, kernel=0, size=0):
    if layer == "block":
        model, shape = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True)), [16, 64, 56, 56]
    elif layer == "bottleneck":
        model, shape = Bottleneck(), [16, 256, 56, 56]
    elif layer == "lstm":
        model, shape = Recurrent(layers), [35, 20, 650]
    else:
        model, shape = nn.Conv2d(inputs, outputs, kernel), [batch, inputs, size, size]
    model = case.ready(model)
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    x = case.place(torch.randn(shape)).to(kind).requires_grad_()
    with torch.no_grad(), case.autocast(dtype):
        dy = case.place(torch.randn_like(model(x))).to(kind)
    forward = case.compile(model)

    def run():
        model.zero_grad(set_to_none=True)
        x.grad = None
        with case.autocast(dtype):
            y = forward(x)
        y.backward(dy)

    return run, 1


def dispatch(case, tape):
    a = torch.ones(16, device=case.device, requires_grad=tape)
    b = torch.ones(16, device=case.device)

    def run():
        for _ in range(1000):
            a.add(b)

    return run, 1000


def chain(case, size):
    x = torch.randn(size, device=case.device)
    gelu = case.compile(lambda x: (x * x * x * 0.044715 + x).mul((2 / torch.pi) ** 0.5).tanh().add(1) * x * 0.5)

    def run():
        with torch.no_grad():
            gelu(x)

    return run, 1


LARGE = (4096, 4096)
IMAGES = (16, 64, 56, 56)
R = torch.randn

# name: (inputs, function)
OPERATIONS = {
    "add": (lambda: [R(LARGE), R(LARGE)], torch.add),
    "add-row": (lambda: [R(LARGE), R(4096)], torch.add),
    "mul": (lambda: [R(LARGE), R(LARGE)], torch.mul),
    "relu": (lambda: [R(LARGE)], torch.relu),
    "exp": (lambda: [R(LARGE)], torch.exp),
    "tanh": (lambda: [R(LARGE)], torch.tanh),
    "gelu": (lambda: [R(LARGE)], F.gelu),
    "where": (lambda: [R(LARGE), R(LARGE)], lambda a, b: torch.where(a > 0, a, b)),
    "transpose-copy": (lambda: [R(LARGE)], lambda a: a.t().contiguous()),
    "cat": (lambda: [R(LARGE), R(LARGE)], lambda a, b: torch.cat([a, b], dim=1)),
    "sum": (lambda: [R(LARGE)], torch.sum),
    "sum-rows": (lambda: [R(LARGE)], lambda a: a.sum(1)),
    "sum-columns": (lambda: [R(LARGE)], lambda a: a.sum(0)),
    "argmax": (lambda: [R(LARGE)], lambda a: a.argmax(1)),
    "cumsum": (lambda: [R(LARGE)], lambda a: a.cumsum(1)),
    "softmax": (lambda: [R(4096, 1000)], lambda a: a.softmax(1)),
    "cross-entropy": (lambda: [R(700, 10000), torch.randint(0, 10000, (700,))], F.cross_entropy),
    "layer-norm": (lambda: [R(4096, 1024)], lambda a: F.layer_norm(a, [1024])),
    "dropout": (lambda: [R(LARGE)], lambda a: F.dropout(a, 0.5, True)),
    "embedding": (lambda: [torch.randint(0, 10000, (35, 20)), R(10000, 650)], F.embedding),
    "top-k": (lambda: [R(256, 10000)], lambda a: a.topk(10)),
    "batch-norm": (lambda: [R(IMAGES), R(64), R(64)], lambda x, w, b: F.batch_norm(x, None, None, w, b, True)),
    "max-pool": (lambda: [R(IMAGES)], lambda x: F.max_pool2d(x, 3, 2, 1)),
    "avg-pool": (lambda: [R(IMAGES)], lambda x: F.avg_pool2d(x, 2)),
    "matmul": (lambda: [R(1024, 1024), R(1024, 1024)], torch.matmul),
    "matmul-decoder": (lambda: [R(700, 650), R(10000, 650)], F.linear),
    "matmul-batched": (lambda: [R(64, 256, 64), R(64, 64, 256)], torch.matmul),
    "conv-3x3": (lambda: [R(IMAGES), R(64, 64, 3, 3)], lambda x, w: F.conv2d(x, w, padding=1)),
    "conv-1x1": (lambda: [R(16, 256, 56, 56), R(64, 256, 1, 1)], F.conv2d),
    "conv-7x7": (lambda: [R(16, 3, 224, 224), R(64, 3, 7, 7)], lambda x, w: F.conv2d(x, w, stride=2, padding=3)),
    "conv-depthwise": (lambda: [R(IMAGES), R(64, 1, 3, 3)], lambda x, w: F.conv2d(x, w, padding=1, groups=64)),
}


def operation(case, operation):
    make, function = OPERATIONS[operation]
    # Images in the layout that is the faster one.
    case.format = torch.channels_last
    inputs = [case.place(t) for t in make()]

    def run():
        with torch.no_grad():
            function(*inputs)

    return run, 1


WORKS = {f.__name__: f for f in [step, language, inference, passes, layer, chain, dispatch, operation]}

TARGET = 0.25e9
SAMPLES = 7
SLOW = 0.1e9


class Repeated:
    """Times a function by the rule of bench/works/measure.mjs."""

    def __init__(self, case, run, inner):
        self.case, self.run, self.inner, self.warm = case, run, inner, False

    def time(self, count):
        self.case.wait()
        start = time.perf_counter_ns()
        for _ in range(count):
            self.run()
        self.case.wait()
        return time.perf_counter_ns() - start

    def measure(self):
        if not self.warm:
            self.time(3)
        self.warm = True
        count, spent = 1, self.time(1)
        if spent >= SLOW:
            return {"nanoseconds": spent / self.inner}
        while spent < TARGET / SAMPLES / 4 and count < 1 << 20:
            count *= 2
            spent = self.time(count)
        count = max(5, round(count * TARGET / SAMPLES / spent))
        times = sorted(self.time(count) / count / self.inner for _ in range(SAMPLES))
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
        onednn = re.search(r"(?:MKL-DNN|oneDNN) v([\d.]+)", torch.__config__.show())
        return {"version": torch.__version__, "onednn": onednn[1] if onednn else "", "threads": torch.get_num_threads()}
    if request["ask"] == "prepare":
        current = None
        torch.manual_seed(1)
        work = dict(request["work"])
        case = Case(request["variant"])
        prepared = WORKS[work.pop("kind")](case, **work)
        current = Repeated(case, *prepared) if isinstance(prepared, tuple) else prepared
        return {}
    if request["ask"] == "measure":
        return current.measure() if isinstance(current, Repeated) else current()
    return {"peakMemory": peak_memory()}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:  # told, not hidden: the driver prints it
        reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
