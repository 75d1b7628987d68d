"""The same work in PyTorch: requests and answers are lines of JSON on stdin and stdout, as in bench/worker.mjs."""
import json
import os
import sys
import time

try:
    import torch
    from torch import nn
except ImportError:
    sys.exit(0)

DEVICE = os.environ.get("GRADTAPE_BENCH_DEVICE", "cpu")
if DEVICE != "cpu":
    torch.set_default_device(DEVICE)
    # As ours: full float32, algorithms by heuristics.
    torch.backends.cudnn.allow_tf32 = False
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

TARGET = 0.25e9
SAMPLES = 7


def measure(step, inner=1):
    """Nanoseconds per unit, by the rule of bench/support/measure.mjs."""

    def run(count):
        start = time.perf_counter_ns()
        for _ in range(count):
            step()
        if DEVICE != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter_ns() - start

    run(3)
    count = 1
    spent = run(count)
    while spent < TARGET / SAMPLES / 4 and count < 1 << 20:
        count *= 2
        spent = run(count)
    count = max(5, round(count * TARGET / SAMPLES / spent))
    times = sorted(run(count) / count / inner for _ in range(SAMPLES))
    return times[SAMPLES // 2]


def autocast(enabled):
    return torch.autocast(torch.device(DEVICE).type, dtype=torch.bfloat16, enabled=enabled)


def training_step(model, x, y, optimizer, mixed=False):
    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast(mixed):
            loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    return step, 1


def dispatch(requires_grad):
    a = torch.ones(16, requires_grad=requires_grad)
    b = torch.ones(16)

    def step():
        for _ in range(1000):
            a.add(b)

    return step, 1000


def mlp(make_optimizer):
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return training_step(model, torch.randn(32, 64), torch.randint(0, 10, (32,)), make_optimizer(model.parameters()))


def images():
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(model, torch.randn(64, 784), torch.randint(0, 10, (64,)), optimizer)


def wide(mixed):
    model = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(model, torch.randn(256, 1024), torch.randint(0, 10, (256,)), optimizer, mixed)


def lenet(batch, variant):
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )
    x = torch.randn(batch, 1, 28, 28)
    if variant == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    return training_step(model, x, torch.randint(0, 10, (batch,)), torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))


class Bottleneck(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(256, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256),
        )

    def forward(self, x):
        return torch.relu_(self.inner(x) + x)


def block(model, channels, variant, mixed):
    x = torch.randn(16, channels, 56, 56)
    dy = torch.randn(16, channels, 56, 56)
    if variant == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
        dy = dy.to(memory_format=torch.channels_last)
    if mixed:
        x, dy = x.bfloat16(), dy.bfloat16()
    x.requires_grad_()

    def step():
        model.zero_grad(set_to_none=True)
        x.grad = None
        with autocast(mixed):
            y = model(x)
        y.backward(dy)

    return step, 1


def lstm(layers):
    layer = nn.LSTM(650, 650, num_layers=layers)
    x = torch.randn(35, 20, 650, requires_grad=True)
    dy = torch.randn(35, 20, 650)

    def step():
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x)[0].backward(dy)

    return step, 1


def prepare(name, variant):
    if name == "dispatch":
        return dispatch(False)
    if name == "dispatch-tape":
        return dispatch(True)
    if name == "mlp-sgd":
        return mlp(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    if name == "mlp-adam":
        return mlp(lambda p: torch.optim.Adam(p, lr=1e-3))
    if name.startswith("mlp-images"):
        return images()
    if name.startswith("lenet-"):
        return lenet(int(name.split("-")[1]), variant)
    if name.startswith("mlp-wide"):
        return wide(name.endswith("bfloat16"))
    if name.startswith("block"):
        conv = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        return block(nn.Sequential(conv, nn.BatchNorm2d(64), nn.ReLU(inplace=True)), 64, variant, name.endswith("bfloat16"))
    if name.startswith("bottleneck"):
        return block(Bottleneck(), 256, variant, name.endswith("bfloat16"))
    if name.startswith("lstm-"):
        return lstm(int(name.split("-")[1]))
    raise KeyError(f"no peer for {name}")


prepared = {}
for text in sys.stdin:
    request = json.loads(text)
    if request.get("info"):
        onednn = next((line.strip() for line in torch.__config__.show().splitlines() if "MKL-DNN" in line or "oneDNN" in line), "")
        answer = {"version": torch.__version__, "onednn": onednn, "threads": torch.get_num_threads()}
    else:
        key = (request["name"], request["variant"])
        try:
            if key not in prepared:
                torch.manual_seed(1)
                prepared[key] = prepare(*key)
            step, inner = prepared[key]
            answer = {"nanoseconds": measure(step, inner)}
        except Exception as error:  # reported, not hidden: the driver prints it
            answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
